"""Every command of docs/modalities_input.md runs, shrunk to seconds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mixvae.train import main

PAGE = Path(__file__).parents[1] / "docs" / "modalities_input.md"
COMMANDS = re.findall(r"^python -m mixvae.train (.*)$", PAGE.read_text(), re.MULTILINE)
SHRUNK = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "num_threads=1", "logger=csv")
SMALL = {
    "glyphs": ("data.max_glyphs=200", "data.size=8", "data.batch_size=20"),
    "polymnist": ("data.train_samples=100", "data.test_samples=30", "data.batch_size=20"),
    "cite": ("data.batch_size=100",),
}


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = [line for name, lines in SMALL.items() if f"={name}_" in command for line in lines]
    assert main([*shlex.split(command), *SHRUNK, *own, "~callbacks.figures"]) == 0
