from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging, place_of


def test_a_callback_that_is_added_to_the_list_is_the_trainers(
    quiet_trainer: Callable[..., Trainer],
) -> None:
    first, second = Callback(), Callback()
    trainer: Any = quiet_trainer(callbacks=[first])
    callbacks_of(trainer).append(second)
    assert first in trainer.callbacks
    assert second in trainer.callbacks


@pytest.mark.parametrize("debugging", [True, False])
def test_a_debugging_trainer_is_known(
    quiet_trainer: Callable[..., Trainer], debugging: bool
) -> None:
    assert is_debugging(quiet_trainer(fast_dev_run=debugging)) is debugging


def test_a_models_place_follows_it() -> None:
    model = BoringModel()
    assert place_of(model) == (torch.device("cpu"), torch.float32)
    assert place_of(model.double()) == (torch.device("cpu"), torch.float64)
