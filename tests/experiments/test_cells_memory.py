import re

import pytest

from experiments import cells_memory
from experiments.cells_memory import Case, main


@pytest.mark.slow
def test_a_case_tells_memory_and_seconds_and_leaves_nothing(
    monkeypatch, capsys, tmp_path, repo_root
):
    small = {"num_cells": 900, "num_genes": 120, "num_types": 3}
    monkeypatch.setitem(cells_memory.CASES, "memory", Case(small, limit=4.0))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(repo_root)
    main(["memory", "--experiment", "", "likelihood=gaussian", "callbacks.figures=null"])
    line = capsys.readouterr().out.splitlines()[-1]
    told = re.match(
        r"memory: file 0\.00 GiB; largest resident memory ([\d.]+) GiB \(at most 4\);"
        r" start [\d.]+ s of processor, [\d.]+ GiB; epochs ",
        line,
    )
    assert told is not None, line
    # PyTorch alone takes about 0.5 GiB, and a build for CUDA more.
    assert 0.2 < float(told[1]) < 2.0
    assert not list(tmp_path.glob("tmp*"))


def test_an_unknown_case_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["large"])
    assert (
        "unknown case large; choose of memory, backed, smartseq, million, million_backed"
        in capsys.readouterr().err
    )
