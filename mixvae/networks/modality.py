"""Encoders and decoders of several modalities, one pair of networks each.

Modalities differ in size, so each has modules of its own, called one after the other: padding them
to one size would cost more than it saves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mixvae.networks.batched import ByteDropout, in_full_precision
from mixvae.networks.mlp import check_widths

LOGVAR_BOUND = 10.0

NetworkFactory = Callable[..., nn.Module]


class ModalityEncoder(nn.Module):
    """Sample to mean and log-variance of q(z|x), by fully connected layers.

    Args:
        shape: Shape of one sample; it is flattened to D features.
        hidden: Widths of the layers; None: two layers as wide as the sample, D (the paper's).
        input_dropout: Probability of dropping an input feature, in [0, 1).

    Source:
        mmvmvae-hippocampal: D -> D -> D -> L with LeakyReLU, and two heads; theirs for the
        log-variance is unbounded. The dropout is ours.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        hidden: Sequence[int] | None = None,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = ByteDropout(input_dropout)
        features = math.prod(shape)
        widths = [features, *_widths(hidden, features)]
        self.layers = nn.Sequential(*_layers(widths))
        # One layer for both heads, so that a model that needs no variance leaves none unused.
        self.head = nn.Linear(widths[-1], 2 * latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x, shape (B, *shape), as mean and log-variance, each (B, L).

        The log-variance lies between -10 and 10, smoothly, so that no ratio of variances overflows.
        """
        features = self.layers(self.dropout(x.flatten(1)))
        mean, raw = in_full_precision(self.head, features).chunk(2, dim=-1)
        return mean, LOGVAR_BOUND * torch.tanh(raw / LOGVAR_BOUND)


class ModalityDecoder(nn.Module):
    """Latent to the parameters of p(x|z), by fully connected layers.

    Args:
        hidden: Widths of the layers; None: two layers as wide as the sample, D (the paper's).

    Source:
        mmvmvae-hippocampal: L -> D -> D -> D with LeakyReLU.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, hidden: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        features = math.prod(shape)
        widths = [latent_dim, *_widths(hidden, features)]
        self.layers = nn.Sequential(*_layers(widths), nn.Linear(widths[-1], features))

    def forward(self, latent: Tensor) -> Tensor:
        """Parameters of p(x|z) for latents (B, L), shape (B, *shape)."""
        return self.layers(latent).unflatten(-1, self.shape)


class ModalityNetworks(nn.Module):
    """One encoder and one decoder for each of M modalities.

    Args:
        encoder: Builds an encoder from `shape` and `latent_dim`.
        decoder: Builds a decoder from `shape` and `latent_dim`.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        latent_dim: int,
        encoder: NetworkFactory,
        decoder: NetworkFactory,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            encoder(shape=shape, latent_dim=latent_dim) for shape in shapes
        )
        self.decoders = nn.ModuleList(
            decoder(shape=shape, latent_dim=latent_dim) for shape in shapes
        )

    def encode(self, x: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode M tensors (B, *shape_m) as means and log-variances, each (M, B, L)."""
        codes = [encoder(sample) for encoder, sample in zip(self.encoders, x, strict=True)]
        return torch.stack([mean for mean, _ in codes]), torch.stack([logv for _, logv in codes])

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """Parameters of p(x_m|z) for latents (B, L), shape (B, *shape_m)."""
        return self.decoders[modality](latent)


def _widths(hidden: Sequence[int] | None, features: int) -> Sequence[int]:
    widths = (features, features) if hidden is None else hidden
    check_widths("hidden", widths)
    return widths


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU()]
    return layers
