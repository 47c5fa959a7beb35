"""Data of one array: batches, inference records of mixtures, and the protocols of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

UNKNOWN_LABEL = -1

LogQ = Callable[[Tensor], Tensor]
"""The agents' log q(c|x), shape (A, B, K), as a function of copies, shape (A, B, *shape)."""


class Batch(NamedTuple):
    """One batch, as every data module yields it.

    Attributes:
        x: Samples, shape (B, *shape), float32.
        label: Class of each sample for evaluation only, shape (B,), int64; `UNKNOWN_LABEL` if none.
        index: Row of each sample in its source data set, shape (B,), int64.
        counts: Raw counts of each sample for likelihoods of counts, shape (B, *shape), float32;
            None where the data have none or the run needs none.
        factors: Value of each factor that a sample was made of, from 0, for evaluation only, shape
            (B, F), int64; None where the data have none.
        covariates: See `DataSpec.covariates`, shape (B, V), float32; None where there are none.
    """

    x: Tensor
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # shadows the method of tuple
    counts: Tensor | None = None
    factors: Tensor | None = None
    covariates: Tensor | None = None


class Covariate(NamedTuple):
    """A column of `Batch.covariates`; the batches come first, a column of 0 and 1 for each."""

    name: str
    mean: float  # over the training samples
    is_batch: bool


@dataclass(frozen=True)
class DataSpec:
    """What a model, an evaluation and a figure need to know of a data set.

    Attributes:
        name: Short name, such as `mnist`.
        shape: Shape of one sample: (channels, height, width) for images, (features,) otherwise.
        num_classes: Number of label classes C; 0 where there are no labels.
        class_names: Names of the classes, length C.
        value_range: Smallest and largest value a sample can take; None where unbounded.
        feature_names: Names of the features, such as genes, length D; empty where they have none.
        factor_names: Names of the factors that samples were made of, length F; mostly empty.
        factor_sizes: Number of values of each factor, length F.
        target_sum: Sum that cells were scaled to; None without scaling.
        covariates: What a decoder is given beside category and state, length V; mostly empty.
    """

    name: str
    shape: tuple[int, ...]
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    feature_names: tuple[str, ...] = field(default_factory=tuple)
    factor_names: tuple[str, ...] = field(default_factory=tuple)
    factor_sizes: tuple[int, ...] = field(default_factory=tuple)
    covariates: tuple[Covariate, ...] = ()
    target_sum: float | None = None

    @property
    def is_image(self) -> bool:
        """Whether a sample is an image of shape (channels, height, width)."""
        return len(self.shape) == 3


class MixturePosterior(NamedTuple):
    """What A agents infer of a batch, without sampling.

    Attributes:
        probs: q(c|x), shape (A, B, K), each row sums to 1.
        state_mean: Mean of q(s|x, c) at the most probable category, shape (A, B, S).
        state_logvar: Its log-variance, natural log, shape (A, B, S).
    """

    probs: Tensor
    state_mean: Tensor
    state_logvar: Tensor


class MixtureStep(NamedTuple):
    """What a mixture model's validation, test and predict steps return.

    Attributes:
        posterior: The inference, see `MixturePosterior`.
        reconstruction: -log p(x|s, c) of each agent, shape (A, B), nats, summed over features; None
            for a model without decoder.
        kl: KL(q(s|x, c) || N(0, I)), shape (A, B), nats; None likewise.
    """

    posterior: MixturePosterior
    reconstruction: Tensor | None
    kl: Tensor | None


class Augmenter(Protocol):
    """Makes a copy of each sample for each agent, of the same type as the sample."""

    def __call__(self, x: Tensor, num_agents: int, log_q: LogQ, strength: float = 1.0) -> Tensor:
        """Copies of x, (B, *shape), as (A, B, *shape); `strength`, >= 0, scales their distance."""
        ...


class Adversary(Protocol):
    """An augmenter that looks for copies on which q(c|x) changes."""

    def __call__(
        self,
        x: Tensor,
        num_agents: int,
        log_q: LogQ,
        strength: float = 1.0,
        log_q_x: Tensor | None = None,
    ) -> Tensor:
        """Copies of x as `Augmenter`; log_q_x is log q(c|x) itself, (A, B, K), where known."""
        ...


@runtime_checkable
class CopyModel(Protocol):
    """What figures ask of a learned augmenter."""

    def copies(self, x: Tensor, num_copies: int, strength: float = 1.0, seed: int = 0) -> Tensor:
        """Copies of x, shape (B, *shape), as (num_copies, B, *shape), by the noise of a seed."""
        ...


@runtime_checkable
class MixtureModel(Protocol):
    """What evaluation and figures ask of a model with categories and states."""

    num_agents: int
    num_categories: int
    state_dim: int
    can_decode: bool
    """Whether it has a decoder; without, it has no states either, and `decode` is not called."""
    category_mask: Tensor
    """Categories that are kept (True) and not pruned, shape (K,)."""

    def infer(self, x: Tensor) -> MixturePosterior:
        """Infer categories and states of x, shape (B, *shape), seen by every agent unaugmented."""
        ...

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """Decode probabilities (A, B, K) and states (A, B, S) into data, shape (A, B, *shape)."""
        ...


class Balance(NamedTuple):
    """The present weights of the objective, for the diagnosis of a collapse.

    Attributes:
        tau: Divisor of the logits.
        largest_probability: The largest q(c|x) that tau allows; None if the logits are not capped.
        weights: Factor of each term, by name, relative to one agent's reconstruction; < 0: reward.
    """

    tau: float
    largest_probability: float | None
    weights: dict[str, float]


@runtime_checkable
class Balanced(Protocol):
    """A model that knows the weights of its objective relative to the reconstruction."""

    def balance(self) -> Balance:
        """The present weights of the objective."""
        ...


@runtime_checkable
class Prunable(Protocol):
    """What pruning asks of a model with categories, beside `MixtureModel`."""

    def prune(self, categories: Sequence[int]) -> None:
        """Mask kept categories, numbered from 0, from now on."""
        ...

    def align(self, joint: Tensor) -> bool:
        """Match the agents' labels by their joint assignments, (A, A, K, K); say if any changed."""
        ...


@runtime_checkable
class Mergeable(Protocol):
    """What merging asks of a model with categories, beside `MixtureModel`."""

    def merge(self, order: Tensor, name: Tensor) -> None:
        """Merge each agent's categories, see `evaluation.merging.Groups`."""
        ...

    def seen(self, batch: Batch) -> Tensor:
        """The space in which samples are near or far, shape (B, C), by units of noise if known."""
        ...
