"""A stand-in for `mixvae.train -m`, which makes the folders of a multirun and no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from experiments import multiruns
from mixvae import train

Metrics = dict[str, float]


class Launcher:
    """Does what a multirun does to folders: every job finishes but those told to fail.

    Attributes:
        failing: Texts of overrides; a job that has one of them fails.
        metrics: What a job measures, by what it overrides.
        commands: What was launched.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.metrics: Callable[[dict[str, str]], Metrics] = lambda said: {"test/kl": 1.0}
        self.commands: list[list[str]] = []

    def __call__(self, arguments: list[str]) -> None:
        lines = list(arguments)
        self.commands.append(lines)
        if lines[0].startswith("sweep.resume="):
            folder = Path(lines[0].partition("=")[2])
            lines = (folder / "overrides.txt").read_text().splitlines()
        else:
            folder = Path(lines[-1].partition("=")[2])
            folder.mkdir(parents=True)
            (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in lines))
        said = [line for line in lines if not line.startswith("hydra")]
        choices = []
        for line in said:
            key, value = line.split("=", 1)
            values = [value] if value.startswith("[") else value.split(",")
            choices.append([f"{key}={value}" for value in values])
        for number, chosen in enumerate(product(*choices)):
            self.run(folder / str(number), list(chosen))

    def run(self, folder: Path, lines: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        # Hydra writes booleans its own way.
        text = "".join(f"{line.replace('=false', '=False')}\n" for line in lines)
        (folder / "overrides.txt").write_text(text)
        said = dict(line.lstrip("+").split("=", 1) for line in lines)
        status = "failed" if self.failing & set(lines) else "finished"
        (folder / "summary.json").write_text(json.dumps({"status": status, **self.metrics(said)}))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run multiruns in this process, in a folder of the test."""

    def launch(arguments: list[str]) -> None:
        assert train.main(["-m", *arguments]) == 0

    monkeypatch.setattr(multiruns, "launch", launch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Take the place of multiruns, and remember them."""
    made = Launcher()
    monkeypatch.setattr(multiruns, "launch", made)
    return made
