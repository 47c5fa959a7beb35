"""Encoders that start from the principal components of the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixvae.networks.mlp import BatchNorm, MLPEncoder

MAX_CLUSTERS = 50

OVERSAMPLING = 10
SPARE = 20  # additional axes in the randomised search, so that the last ones are exact
NUM_ITERATIONS = 6
# Noise has a flat spectrum. A component hardly larger than the last one computed, ten
# beyond those requested, is noise: with it, agents merge a type or two (homogeneity .96).
NOISE_MARGIN = 1.1


class BatchAlignment(nn.Module):
    """Points of each batch, moved onto those of the others cluster by cluster; fixed.

    `load` takes effects of `objectives.batch_effects` before training; they are part of every
    checkpoint, and samples of later files are moved as those trained on.

    Args:
        num_dims: Dimensions of a point, C.
        num_batches: Number of batches N.
    """

    shift: Tensor
    centres: Tensor
    offsets: Tensor
    log_weights: Tensor
    precision: Tensor

    def __init__(self, num_dims: int, num_batches: int) -> None:
        super().__init__()
        self.num_batches = num_batches
        sizes = {
            "shift": (num_batches, num_dims),
            "centres": (MAX_CLUSTERS, num_dims),
            "offsets": (num_batches, MAX_CLUSTERS, num_dims),
            "log_weights": (num_batches, MAX_CLUSTERS),
            "precision": (num_dims,),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))

    def load(self, effects: Mapping[str, Tensor]) -> None:
        """Take the effects of batches, of at most 50 clusters; others keep a weight of nothing."""
        count = len(effects["centres"])
        self.log_weights.fill_(-math.inf)
        self.log_weights[:, :count] = effects["log_weights"]
        self.centres[:count] = effects["centres"]
        self.offsets[:, :count] = effects["offsets"]
        self.shift.copy_(effects["shift"])
        self.precision.copy_(effects["precision"])

    def forward(self, points: Tensor, batch: Tensor) -> Tensor:
        """Points (A, B, C) or (B, C), moved, in the same shape.

        Args:
            batch: Share of each batch, shape (B, N), rows of sum 1: one-hot, or the mean for
                samples of no known batch.
        """
        batch = batch.to(points.dtype)
        z = points - batch @ self.shift
        # 0 * -inf would be NaN
        weights = batch @ self.log_weights.clamp_min(-1e4)
        offsets = torch.einsum("bn,nkc->bkc", batch, self.offsets)
        centres = self.centres + offsets
        scaled = centres * self.precision
        # |z|^2 is the same for all clusters
        near = torch.einsum("...bc,bkc->...bk", z, scaled) - (scaled * centres).sum(dim=-1) / 2
        member = (near + weights).softmax(dim=-1)
        return z - torch.einsum("...bk,bkc->...bc", member, offsets)


class PrincipalComponents(nn.Module):
    """Features to their leading principal components, in standard deviations of noise; fixed.

    Noise is spread over all directions, structure over a few. A network that
    sees only those few cannot settle on categories made of noise, which in hundreds of genes
    fill the batch as evenly as types do.

    `fit` is called once, before training; its result is part of every checkpoint.

    Args:
        num_components: Largest number of components, at least 1; those that are not above the noise
            are 0, see `NOISE_MARGIN`, and so are those that few samples do not span.
        whiten: Give each component variance 1. Without it components keep their proportions, so
            those that hardly stand out of the noise count little; their unit is the noise's
            standard deviation along one axis.
    """

    offset: Tensor
    projection: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        num_components: int = 30,
        standardise: bool = True,
        whiten: bool = True,
    ) -> None:
        super().__init__()
        num_features = math.prod(shape)
        if not 1 <= num_components <= num_features:
            raise ValueError(
                f"num_components must lie in [1, {num_features}], the number of features, got"
                f" {num_components}; change model.agents.encoder.num_components"
            )
        self.num_dims = len(shape)
        self.num_components = num_components
        self.standardise, self.whiten = standardise, whiten
        self.register_buffer("offset", torch.zeros(num_features))
        self.register_buffer("projection", torch.zeros(num_features, num_components))
        # Whether it was fitted, as a plain value: reading a buffer synchronises with the GPU.
        self.fitted = False
        self.alignment: BatchAlignment | None = None
        self.register_load_state_dict_post_hook(_see_whether_fitted)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fit(self, x: Tensor, batch: Tensor | None = None) -> None:
        """Find the components of samples x, shape (N, *shape); a function of the arguments alone.

        Args:
            batch: Batch of each sample, one-hot, shape (N, B): components are then those within
                batches, while batches still differ in them.

        Raises ValueError if all samples are the same.
        """
        x = x.flatten(1)
        offset = x.mean(dim=0)
        centred = x - offset
        if batch is not None:
            centred = centred - batch @ (
                (batch.T @ centred) / batch.sum(dim=0).clamp_min(1)[:, None]
            )
        scale = centred.square().mean(dim=0).sqrt()
        # A constant feature carries no information; its scale of 0 must not divide.
        weight = torch.where(scale > 0, 1 / scale.clamp_min(1e-6), 0.0)
        weight = weight if self.standardise else (scale > 0).to(x.dtype)
        deviation, axes, last = _leading_axes(centred * weight, self.num_components)
        rank = int((deviation > 1e-4 * deviation[0]).sum())
        if rank == 0:
            raise ValueError(f"the {len(x)} training samples are all the same: no components")
        deviation, axes = deviation[:rank], axes[:, :rank]
        self.offset.copy_(offset)
        noise = NOISE_MARGIN * last
        kept = deviation > (noise if deviation[0] > noise else 0.0)
        unit = deviation
        if not self.whiten:  # few samples span no axes of noise alone
            few = rank < self.num_components
            unit = deviation[-1] if few else _noise_deviation(centred * weight, deviation)
        self.projection.zero_()
        self.projection[:, :rank] = weight[:, None] * axes / unit * kept
        self.fitted = True

    def project(self, x: Tensor) -> Tensor:
        """Components of x, shape (..., *shape), with the effects of batches."""
        return (x.flatten(-self.num_dims) - self.offset) @ self.projection

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """Components of x, shape (..., *shape), as (..., num_components).

        Args:
            batch: Share of each batch, shape (B, N), where they are aligned.
        """
        if not self.fitted:
            raise ValueError(
                "the principal components were not fitted: call model.prepare with the training"
                " batches before training, as python -m mixvae.train does"
            )
        found = self.project(x)
        if self.alignment is None:
            return found
        assert batch is not None
        return self.alignment(found, batch)


def _see_whether_fitted(layer: nn.Module, _: object) -> None:
    assert isinstance(layer, PrincipalComponents)
    layer.fitted = bool(layer.projection.any())


def _noise_deviation(centred: Tensor, deviation: Tensor) -> Tensor:
    """Mean standard deviation along the axes beyond the leading ones, of samples (N, D).

    Source:
        The maximum-likelihood noise of probabilistic PCA (Tipping & Bishop 1999, eq. 8).
    """
    rest = min(centred.shape) - len(deviation)
    total = centred.square().sum() / len(centred)
    variance = (total - deviation.square().sum()) / max(rest, 1)
    # Without axes beyond them, or noise, the last leading one is the unit.
    return variance.clamp_min(0).sqrt() if rest > 0 and variance > 0 else deviation[-1]


def _leading_axes(centred: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Standard deviations (C,) along the leading axes (D, C), and along the last one found.

    C is `count`, or N or D if that is less. The last one is up to `OVERSAMPLING` further; 0 where
    samples (N, D) have no more axes.
    """
    # The randomised search draws from the global generator, whose state is restored for training.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = min(count + OVERSAMPLING, *centred.shape)
        searched = min(size + SPARE, *centred.shape)
        _, singular, axes = torch.svd_lowrank(centred, q=searched, niter=NUM_ITERATIONS)
    deviation = singular[:size] / math.sqrt(len(centred))
    last = deviation[-1] if size == count + OVERSAMPLING else torch.zeros_like(deviation[-1])
    return deviation[:count], axes[:, :count], last


class ComponentEncoder(nn.Module):
    """Sample to features: `PrincipalComponents`, which the agents share, then `MLPEncoder`."""

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        num_components: int = 30,
        standardise: bool = True,
        hidden: Sequence[int] = (128, 128, 64),
        batch_norm: BatchNorm = "before",
        whiten: bool = True,
    ) -> None:
        super().__init__()
        num_components = min(num_components, math.prod(shape))  # a panel of few genes
        self.components = PrincipalComponents(shape, num_components, standardise, whiten)
        self.encoder = MLPEncoder(num_agents, [num_components], hidden, batch_norm)
        self.out_features = self.encoder.out_features

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """Features of x, shape (A, B, *shape) or (B, *shape), as (A, B, hidden[-1])."""
        return self.encoder(self.components(x, batch))
