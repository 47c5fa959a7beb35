from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixvae.callbacks.finite import FiniteLoss, _Step

NAN = float("nan")


def trainer_at(step: int) -> Any:
    return SimpleNamespace(global_step=step + 1)


def outputs_of(loss: float, device: str = "cpu", **terms: float) -> dict[str, Any]:
    made = {name: torch.tensor(value, device=device) for name, value in terms.items()}
    return {"loss": torch.tensor(loss, device=device), "terms": made}


def feed(callback: FiniteLoss, step: int, outputs: Any) -> None:
    callback.on_train_batch_end(trainer_at(step), None, outputs, None, step)


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_a_bad_loss_is_told_with_its_step_and_terms(value: float) -> None:
    callback = FiniteLoss()
    feed(callback, 0, outputs_of(1.0, kl=1.0, coupling=2.0))
    with pytest.raises(FloatingPointError, match=r"at step 7 in the term coupling;"):
        feed(callback, 7, outputs_of(value, kl=1.0, coupling=value))
    with pytest.raises(FloatingPointError, match=r"in the terms kl, coupling;"):
        feed(callback, 7, outputs_of(value, kl=value, coupling=value))


def test_a_sum_that_overflows_though_no_term_is_bad() -> None:
    with pytest.raises(FloatingPointError, match="each term alone is finite"):
        feed(FiniteLoss(), 2, outputs_of(float("inf"), kl=1.0))


def test_a_step_that_returns_a_bare_loss_or_nothing() -> None:
    callback = FiniteLoss()
    feed(callback, 0, None)
    feed(callback, 0, torch.tensor(1.0))
    with pytest.raises(FloatingPointError, match="at step 3"):
        feed(callback, 3, torch.tensor(NAN))


LOOKS = {
    "validation": lambda callback: callback.on_validation_start(None, None),
    "checkpoint": lambda callback: callback.on_save_checkpoint(None, None, {}),
    "end": lambda callback: callback.on_train_end(None, None),
}


@pytest.mark.parametrize("look", LOOKS)
def test_on_a_device_the_first_bad_step_is_told_at_the_next_look(look: str) -> None:
    callback = FiniteLoss()
    callback.on_train_start(trainer_at(0), None)

    def note(step: int, loss: float, **terms: float) -> None:
        values = torch.tensor([loss, *terms.values()])
        callback._noted.append(_Step(step, tuple(terms), values))

    note(10, 1.0, kl=1.0, coupling=1.0)
    LOOKS[look](callback)
    note(11, 1.0, kl=1.0)  # a term fewer
    note(12, NAN, kl=1.0, coupling=NAN)
    note(13, NAN, kl=NAN, coupling=NAN)
    note(14, 1.0, kl=1.0, coupling=1.0)
    with pytest.raises(FloatingPointError, match="at step 12 in the term coupling;"):
        LOOKS[look](callback)
    LOOKS[look](callback)  # it was told


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_look_comes_after_so_many_steps() -> None:
    callback, bad = FiniteLoss(every_n_steps=4), outputs_of(NAN, "cuda", kl=NAN)
    feed(callback, 0, outputs_of(1.0, "cuda", kl=0.0))
    feed(callback, 1, outputs_of(NAN, "cuda", kl=0.0))
    feed(callback, 2, bad)
    with pytest.raises(FloatingPointError, match="at step 1 "):
        feed(callback, 3, bad)
