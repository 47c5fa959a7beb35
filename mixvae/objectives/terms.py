"""The named terms of a loss: one place where agents are summed and the batch is averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Axes = Literal["AB", "MB", "B", "A", ""]


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Args:
        value: The term, nats, one entry per element of `axes`.
        axes: Letters of its axes: agents A, modalities M, batch B.

    Source:
        Ours.
    """

    value: Tensor
    weight: float
    axes: Axes

    def mean(self) -> Tensor:
        """Mean over agents or modalities and the batch, a scalar, nats, without the weight."""
        return self.value.mean()

    def loss(self) -> Tensor:
        """Sum over agents or modalities of the batch's mean, a scalar, nats, without the weight."""
        return self.mean() * (self.value.shape[0] if self.axes[:1] in ("A", "M") else 1)


class Terms:
    """The terms of a loss in the order in which they were added, by name.

    A term of weight 0 is logged, but does not touch the loss or its gradient.

    Args:
        weights: Factor of each term in the loss; a weight may be without a term.

    Source:
        Ours.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights
        self._terms: dict[str, Term] = {}

    def add(self, name: str, value: Tensor, axes: Axes = "AB") -> None:
        """Add a term.

        Args:
            name: A name with a weight, not yet taken.
            value: The term, nats, summed over features, shape as `axes` says: (A, B), (M, B),
                (B,), (A,) or ().
            axes: `AB`, `MB`, `B`, `A` or the empty string.
        """
        assert name in self.weights, f"the term {name!r} has no weight"
        assert name not in self._terms, name
        assert value.dim() == len(axes), (name, tuple(value.shape), axes)
        self._terms[name] = Term(value, float(self.weights[name]), axes)

    def __getitem__(self, name: str) -> Term:
        return self._terms[name]

    def __contains__(self, name: object) -> bool:
        return name in self._terms

    def __len__(self) -> int:
        return len(self._terms)

    def total(self) -> Tensor:
        """Sum of weight * term, each summed over agents and averaged over the batch: a scalar."""
        assert self._terms
        parts = [term.weight * term.loss() for term in self._terms.values() if term.weight != 0]
        if not parts:
            return next(iter(self._terms.values())).value.new_zeros(())
        return torch.stack(parts).sum()

    def means(self) -> dict[str, Tensor]:
        """Each term averaged over agents and batch, unweighted and detached: scalars, nats."""
        return {name: term.mean().detach() for name, term in self._terms.items()}
