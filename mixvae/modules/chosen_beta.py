"""The weight of a regulariser that may be chosen from the data, and is then part of the state."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

from mixvae.contracts import MultimodalBatch
from mixvae.messages import inform
from mixvae.modules.base import AbstractModule, weight_schedule
from mixvae.modules.beta_scan import choose_beta
from mixvae.objectives.schedules import Constant, Schedule

Beta = float | Schedule | Literal["auto"]
"""The weight of a regulariser; `auto` chooses it from the data, see `beta_scan.choose_beta`."""


class AbstractWithBeta(AbstractModule[MultimodalBatch]):
    """A model whose subclasses may take a beta."""

    chosen_beta: Tensor
    beta: Schedule

    def _set_beta(self, beta: Beta) -> None:
        """Take the weight of the regulariser, or prepare to choose it.

        What was chosen is part of the state: a resumed or opened run does not choose again. Whole
        numbers keep it exact in every precision.
        """
        if beta != "auto":
            self.beta = weight_schedule("beta", beta)
            return
        self.register_buffer("chosen_beta", torch.tensor([1, 0]))
        self._take_chosen_beta()
        take = lambda *_: self._take_chosen_beta()  # noqa: E731
        self.register_load_state_dict_post_hook(take)  # type: ignore[no-untyped-call]

    def _take_chosen_beta(self) -> None:
        digits, exponent = self.chosen_beta.tolist()
        self.beta = Constant(float(f"{digits}e{exponent}"))

    def choose(
        self, train: Collection[MultimodalBatch], val: Collection[MultimodalBatch], steps: int
    ) -> None:
        """Choose beta if it is `auto`."""
        if "chosen_beta" not in self._buffers:
            return
        choice = choose_beta(self, train, val, steps)
        digits, exponent = f"{choice.beta:.2e}".split("e")
        values = [int(digits.replace(".", "")), int(exponent) - 2]
        self.chosen_beta.copy_(torch.tensor(values))
        self._take_chosen_beta()
        self.choices["model.beta"] = {**choice._asdict(), "beta": self.beta(0.0)}
        inform(f"model.beta: auto is {self.beta(0.0):g}: {choice.reason}")
