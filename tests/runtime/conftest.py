"""A run that takes a second: real digits, small networks, no pictures, no W&B."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixvae.train import main

SMALL = (
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "model.state_dim=2",
    "trainer.max_epochs=2",
    "num_threads=1",
    "logger=csv",
    "~callbacks.figures",
)


class Outcome(NamedTuple):
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`mixvae.train` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = main(list(arguments))
        return Outcome(status, *capfd.readouterr())

    return command


@pytest.fixture(scope="session")
def small() -> Sequence[str]:
    """Overrides that make a run small."""
    return SMALL


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Runs made so far, by their overrides."""
    return {}


@pytest.fixture
def run(
    train: Command,
    tmp_path: Path,
    templates: dict[tuple[str, ...], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Return the folder of a small finished run, copied if one with these overrides was made.

    Runs depend on nothing but their config, which other tests prove, and may be moved.
    """

    def make(name: str, *arguments: str, fresh: bool = False) -> Path:
        if arguments not in templates or fresh:
            folder = tmp_path_factory.mktemp("run") / "made"
            outcome = train(*SMALL, *arguments, f"run_dir={folder}")
            assert outcome.status == 0, outcome.err
            templates[arguments] = folder
        return Path(shutil.copytree(templates[arguments], tmp_path / name))

    return make


@pytest.fixture(scope="session")
def read_json() -> Callable[[Path], dict[str, Any]]:
    """Read strict JSON: NaN, which Python's reader would take, is refused."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return lambda path: json.loads(path.read_text(), parse_constant=refuse)
