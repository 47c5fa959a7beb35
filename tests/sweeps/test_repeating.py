"""The command in a run's provenance.json repeats that run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixvae import sweep
from mixvae.runs.folder import RunFolder
from tests.sweeps.conftest import Interrupted

Train = Callable[..., Any]
# Of the summary, all else depends on the place and the clock.
MEASURED = ("epochs", "best_epoch", "seed", "status")


def single(train: Train, small: Sequence[str], interrupted: Interrupted) -> str:
    assert train(*small, "seed=3", "tags=['it s, ü']", "run_dir=run").status == 0
    return "run"


def resumed(train: Train, small: Sequence[str], interrupted: Interrupted) -> str:
    with interrupted():
        assert train(*small, "seed=3", "run_dir=run").status == 130
    assert train("resume=run").status == 0
    return "run"


def job(train: Train, small: Sequence[str], interrupted: Interrupted) -> str:
    Path("own/experiment").mkdir(parents=True)
    Path("own/experiment/mine.yaml").write_text("# @package _global_\nmodel: {beta: 2.0}\n")
    words = ["--config-dir", "own", "+experiment=mine", "seed=3,4", "hydra.sweep.dir=sweep"]
    assert train("-m", *small, *words).status == 0
    return "sweep/1"


def trial(train: Train, small: Sequence[str], interrupted: Interrupted) -> str:
    space = {"model.tau": {"type": "float", "low": 0.5, "high": 2.0}}
    Path("mine.yaml").write_text(yaml.safe_dump({"space": space, "seeds": [3]}))
    assert sweep.main(["search=mine.yaml", *small, "num_trials=1", "out=search"]) == 0
    return "search/0"


@pytest.mark.parametrize("kind", [single, resumed, job, trial])
def test_the_command_of_a_run_runs_again_to_the_same_summary(
    kind: Callable[..., str],
    train: Train,
    small: Sequence[str],
    interrupted: Interrupted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = RunFolder(tmp_path / kind(train, small, interrupted))
    program, *words = shlex.split(first.read_provenance()["command"])
    assert [program, *words[:2]] == ["python", "-m", "mixvae.train"]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    outcome = train(*words[2:])
    assert outcome.status == 0, outcome.err
    (file,) = (tmp_path / "empty").rglob("summary.json")
    before, after = first.read_summary(), RunFolder(file.parent).read_summary()
    names = [name for name in before if "/" in name or name in MEASURED]
    assert before["status"] == "finished"
    assert "val/loss" in names
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
