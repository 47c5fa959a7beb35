"""The nats in which weights of an objective count, which may be chosen from the data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor

from mixvae.contracts import Batch
from mixvae.messages import inform
from mixvae.modules.base import AbstractModule, plain_number, spread_samples
from mixvae.objectives.likelihoods import Likelihood, half_null_deviance

WeightUnit = float | Literal["auto"]
"""Nats; `auto` is half the null deviance of a training sample."""


class AbstractWithUnit(AbstractModule[Batch]):
    """A model whose weights keep their proportion to reconstructions of any size."""

    chosen_unit: Tensor
    weight_unit: float
    likelihood: Likelihood

    def _set_weight_unit(self, unit: WeightUnit) -> None:
        """Take the unit, or prepare to choose it.

        What was chosen is part of the state: a resumed or opened run does not choose again. A whole
        number keeps it exact in every precision.
        """
        if unit != "auto":
            self.weight_unit = plain_number("weight_unit", unit, above=0)
            return
        self.register_buffer("chosen_unit", torch.tensor(1000))
        _take_unit(self)
        self.register_load_state_dict_post_hook(_take_unit)  # type: ignore[no-untyped-call]

    def choose(self, train: Collection[Batch], val: Collection[Batch], steps: int) -> None:
        """Choose the unit of weights if it is `auto`."""
        super().choose(train, val, steps)
        if "chosen_unit" not in self._buffers:
            return
        deviance = half_null_deviance(self.likelihood, spread_samples(train))
        self.chosen_unit.fill_(max(round(1000 * deviance), 1))
        _take_unit(self)
        reason = f"nats that a training sample says beyond the mean sample: {self.weight_unit:.4g}"
        self.choices["model.weight_unit"] = {"weight_unit": self.weight_unit, "reason": reason}
        inform(f"model.weight_unit: auto is the {reason}")


def _take_unit(module: Any, _: object = None) -> None:
    module.weight_unit = int(module.chosen_unit) / 1000
