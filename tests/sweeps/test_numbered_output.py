from __future__ import annotations

import io
import sys

import pytest

from mixvae.sweeps.jobs import NumberedLines, numbered_output


def test_only_whole_lines_pass_each_behind_its_number() -> None:
    target = io.StringIO()
    lines = NumberedLines(target, "[3] ")
    lines.write("ab")
    assert target.getvalue() == ""
    lines.write("c\nd\n\ne")
    assert target.getvalue() == "[3] abc\n[3] d\n[3] \n"
    lines.finish()
    lines.finish()
    assert target.getvalue().endswith("[3] e\n")
    assert not lines.isatty()


def test_what_is_printed_is_numbered_and_then_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    streams = sys.stdout, sys.stderr
    with numbered_output("[0] "):
        print("out")
        print("err", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == streams
    print("after")
    assert capsys.readouterr() == ("[0] out\nafter\n", "[0] err\n")
