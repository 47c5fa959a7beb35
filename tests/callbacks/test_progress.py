from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixvae.callbacks.progress import EpochBar, EpochLines, NotebookBar, progress


def trainer_in(epoch: int, limit: int | None = 3, every: int = 1, **metrics: float) -> Any:
    logged = {name: torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=limit,
        check_val_every_n_epoch=every,
        is_global_zero=True,
        callback_metrics=logged,
    )


def test_one_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    lines, module = EpochLines(metrics=["train/loss", "val/loss", "missing"]), Any
    lines.on_train_start(trainer_in(0), module)
    lines.on_train_epoch_start(trainer_in(0), module)
    first = trainer_in(1, **{"train/loss": 123.456, "val/loss": 0.5, "other": 1.0})
    lines.on_train_epoch_start(first, module)
    lines.on_train_end(trainer_in(2, **{"val/loss": 0.25}), module)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[0].startswith("epoch 1/3  train/loss 123.5  val/loss 0.5  0.")
    assert printed[1].startswith("epoch 2/3  val/loss 0.25  0.")


def test_a_line_for_each_epoch_that_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    lines = EpochLines()
    for epoch in range(7):
        lines.on_train_epoch_start(trainer_in(epoch, 7, 3), Any)
    lines.on_train_end(trainer_in(7, 7, 3), Any)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in printed] == ["3/7", "6/7", "7/7"]


def test_without_a_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    lines = EpochLines()
    lines.on_train_epoch_start(trainer_in(0, limit=-1), Any)
    lines.on_train_end(trainer_in(1, limit=-1), Any)
    assert capsys.readouterr().out.startswith("epoch 1  ")


def test_what_is_disabled_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress("none")
    lines.print("a")
    assert capsys.readouterr().out == ""
    lines.enable()
    lines.print("b")
    assert capsys.readouterr().out == "b\n"


def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(progress(), EpochBar)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert isinstance(progress(), EpochLines)
    assert isinstance(progress("bar"), EpochBar)


def test_a_notebook_has_a_bar_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    class Handle:
        def update(self, shown: str) -> None:
            drawn.append(shown)

    def display(shown: str, display_id: bool) -> Handle:
        assert display_id
        drawn.append(shown)
        return Handle()

    shell = SimpleNamespace(kernel=object())
    shown = SimpleNamespace(HTML=lambda text: text, display=display)
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=shown)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    bar, module = progress("auto", ["val/loss"]), Any
    assert isinstance(bar, NotebookBar)
    bar.on_train_start(trainer_in(0), module)
    bar.on_train_epoch_start(trainer_in(0), module)
    bar.on_train_epoch_start(trainer_in(1, **{"val/loss": 0.5}), module)
    bar.on_train_end(trainer_in(3, **{"val/loss": 0.25}), module)
    assert ['value="0" max="3"' in drawn[0], "val/loss 0.5" in drawn[1]] == [True, True]
    assert 'value="3"' in drawn[2]
    # A console of IPython is a terminal.
    shell.kernel = None
    assert isinstance(progress("auto"), EpochLines)
    assert not isinstance(progress("auto"), NotebookBar)
