"""Data of several modalities: batches, inference records, and the protocol of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

UNSCALED = ("counts", "tokens")
"""Kinds of modalities whose values have no unit to standardise, see `ModalitySpec.kind`."""


class MultimodalBatch(NamedTuple):
    """One batch of events, each seen by up to M modalities.

    Attributes:
        x: Samples, M tensors (B, *shape_m), float32; 0 where missing, NaN where one value is.
        present: Whether each modality of each event is there, shape (B, M), bool.
        label: Class of each event for evaluation only, shape (B,), int64; `UNKNOWN_LABEL` if none.
        index: Row of each event in its split's table of events, shape (B,), int64.
        rows: Row of each sample in its modality's own array, shape (B, M), int64; -1 where missing.
    """

    x: tuple[Tensor, ...]
    present: Tensor
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # shadows the method of tuple
    rows: Tensor


UNSCALED = ("counts", "tokens")  # kinds that standardising would destroy


@dataclass(frozen=True)
class ModalitySpec:
    """One modality of a multimodal data set.

    Attributes:
        name: Its name, as metrics and figures show it.
        shape: Shape of one sample.
        kind: `vector`, `image`, `tokens` (one-hot along the last axis, 0 for padding), or `counts`.
        has_gaps: Whether samples may hold NaN, single values that are missing.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "vector"
    has_gaps: bool = False


@dataclass(frozen=True)
class MultimodalSpec:
    """What a model, an evaluation and a figure need to know of a multimodal data set.

    Attributes:
        name: Short name, such as `hippocampus`.
        modalities: The M modalities, in the order of `MultimodalBatch.x`.
        num_classes: Number of label classes C; 0 where there are no labels.
        class_names: Names of the classes, length C.
    """

    name: str
    modalities: tuple[ModalitySpec, ...]
    num_classes: int = 0
    class_names: tuple[str, ...] = field(default_factory=tuple)


class MultimodalPosterior(NamedTuple):
    """What a multimodal model infers of a batch, without sampling.

    Attributes:
        mean, logvar: Of the unimodal posteriors q(z|x_m), (M, B, L), natural log; 0 where missing.
        joint_mean, joint_logvar: The same of the joint posterior q(z|X), (B, L); None without one.
    """

    mean: Tensor
    logvar: Tensor
    joint_mean: Tensor | None = None
    joint_logvar: Tensor | None = None


class MultimodalStep(NamedTuple):
    """What a multimodal model's validation, test and predict steps return.

    Attributes:
        posterior: The inference, see `MultimodalPosterior`.
        reconstruction: -log p(x_m|z), from the posterior mean that the model decodes, shape (M, B),
            nats, summed over features; 0 where missing.
        imputation: -log p(x_n|z_m), from the mean of modality m, (M, M, B) as [m, n], likewise.
        kl: The regulariser of the model, shape (B,), nats, summed over modalities.
        pairs: Which [m, n] of `imputation` were measured, (M, M), bool; None: all. Others are 0.
    """

    posterior: MultimodalPosterior
    reconstruction: Tensor
    imputation: Tensor
    kl: Tensor
    pairs: Tensor | None = None


@runtime_checkable
class MultimodalModel(Protocol):
    """What evaluation and figures ask of a model of several modalities."""

    num_modalities: int
    latent_dim: int
    private_dim: int  # further latents of each modality, neither inferred nor decoded here

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """Infer the latents of x, M tensors (B, *shape_m), where `present`, (B, M), says so."""
        ...

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """The mean of p(x_m|z), shape (B, *shape_m), from latents (B, L)."""
        ...

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """The mean of p(x_n|what is present) for every modality n: M tensors (B, *shape_n)."""
        ...


@runtime_checkable
class GenerativeModel(Protocol):
    """What measures of generation ask of a model of several modalities beside inference."""

    has_likelihood: bool  # whether its posteriors have a spread, so that likelihoods are estimated

    def draw(
        self, x: Sequence[Tensor], present: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """One draw of q(z|what is present) for each event, shape (B, L)."""
        ...

    def joint_log_likelihood(
        self, batch: MultimodalBatch, num_draws: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Importance-weighted bound on log p(all that is present), shape (B,), nats."""
        ...

    def conditional_log_likelihood(
        self,
        batch: MultimodalBatch,
        given: Tensor,
        target: int,
        num_draws: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Importance-weighted bound on log p(x_n|x_S) of the given modalities S, shape (B,), nats.

        Args:
            given: The modalities S, shape (M,), bool, without the target n.
            num_draws: Number of draws, even.
        """
        ...
