"""Encoders that start from the principal components of the training data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixvae.networks.mlp import BatchNorm, MLPEncoder

OVERSAMPLING = 10
SPARE = 20  # additional axes in the randomised search, so that the last ones are exact
NUM_ITERATIONS = 6
# Noise has a flat spectrum. A component hardly larger than the last one computed, ten
# beyond those requested, is noise: with it, agents merge a type or two (homogeneity .96).
NOISE_MARGIN = 1.1


class PrincipalComponents(nn.Module):
    """Standardised features to their leading principal components, each of variance 1; fixed.

    Noise is spread over all directions, structure over a few. A network that
    sees only those few cannot settle on categories made of noise, which in hundreds of genes
    fill the batch as evenly as types do.

    `fit` is called once, before training; its result is part of every checkpoint.

    Args:
        num_components: Largest number of components, at least 1; those that are not above the noise
            are 0, see `NOISE_MARGIN`.
        standardise: Divide each feature by its standard deviation first.
    """

    offset: Tensor
    projection: Tensor

    def __init__(
        self, shape: Sequence[int], num_components: int = 30, standardise: bool = True
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
        self.standardise = standardise
        self.register_buffer("offset", torch.zeros(num_features))
        self.register_buffer("projection", torch.zeros(num_features, num_components))
        # Whether it was fitted, as a plain value: reading a buffer synchronises with the GPU.
        self.fitted = False
        self.register_load_state_dict_post_hook(_see_whether_fitted)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Find the components of samples x, shape (N, *shape); a function of x alone.

        Raises ValueError if the samples span fewer dimensions than there are components.
        """
        x = x.flatten(1)
        offset = x.mean(dim=0)
        centred = x - offset
        scale = centred.square().mean(dim=0).sqrt()
        # A constant feature carries no information; its scale of 0 must not divide.
        weight = torch.where(scale > 0, 1 / scale.clamp_min(1e-6), 0.0)
        weight = weight if self.standardise else (scale > 0).to(x.dtype)
        deviation, axes, last = _leading_axes(centred * weight, self.num_components)
        if not deviation[-1] > 1e-4 * deviation[0]:
            rank = int((deviation > 1e-4 * deviation[0]).sum())
            raise ValueError(
                f"num_components is {self.num_components}, but the {len(x)} training samples span"
                f" {rank} dimensions; choose at most that many"
            )
        self.offset.copy_(offset)
        noise = NOISE_MARGIN * last
        kept = deviation > (noise if deviation[0] > noise else 0.0)
        self.projection.copy_(weight[:, None] * axes / deviation * kept)
        self.fitted = True

    def forward(self, x: Tensor) -> Tensor:
        """Components of x, shape (..., *shape), as (..., num_components)."""
        if not self.fitted:
            raise ValueError(
                "the principal components were not fitted: call model.prepare with the training"
                " batches before training, as python -m mixvae.train does"
            )
        return (x.flatten(-self.num_dims) - self.offset) @ self.projection


def _see_whether_fitted(layer: nn.Module, _: object) -> None:
    assert isinstance(layer, PrincipalComponents)
    layer.fitted = bool(layer.projection.any())


def _leading_axes(centred: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Standard deviations (count,) along the leading axes (D, count), and along the last one found.

    That is the last of up to `OVERSAMPLING` more; 0 where samples (N, D) have no more axes.
    """
    # The randomised search draws from the global generator, whose state is restored for training.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = min(count + OVERSAMPLING, *centred.shape)
        searched = min(size + SPARE, *centred.shape)
        _, singular, axes = torch.svd_lowrank(centred, q=searched, niter=NUM_ITERATIONS)
    if size < count:
        raise ValueError(
            f"num_components is {count}, but there are {len(centred)} training samples only;"
            f" set model.agents.encoder.num_components to at most {size}"
        )
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
    ) -> None:
        super().__init__()
        num_components = min(num_components, math.prod(shape))  # a panel of few genes
        self.components = PrincipalComponents(shape, num_components, standardise)
        self.encoder = MLPEncoder(num_agents, [num_components], hidden, batch_norm)
        self.out_features = self.encoder.out_features

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, *shape) or (B, *shape), as (A, B, hidden[-1])."""
        return self.encoder(self.components(x))
