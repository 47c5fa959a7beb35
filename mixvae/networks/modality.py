"""Encoders and decoders of several modalities, one pair of networks each.

Modalities differ in size, so each has modules of its own, called one after the other: padding them
to one size would cost more than it saves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixvae.networks.batched import ByteDropout, in_full_precision
from mixvae.networks.mlp import check_widths
from mixvae.suggestions import suggestion

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


class Pair(NamedTuple):
    """What builds the two networks of a modality, each from `shape` and `latent_dim`."""

    encoder: NetworkFactory
    decoder: NetworkFactory


class ModalityNetworks(nn.Module):
    """One encoder and one decoder for each of M modalities.

    Args:
        kinds: Kind of each modality by name, in order; None: every one is a vector.
        decoded_shapes: Shape of each decoder's output, where it differs from the sample's.
        encoder: Builds an encoder from `shape` and `latent_dim`.
        decoder: Builds a decoder from `shape` and `latent_dim`.
        image: Builds the two networks of images, `encoder` and `decoder`; None: as vectors.
        tokens: The same for tokens.
        **own: The same for single modalities, by name, or the name of one of the above: `image`,
            `tokens`, or `vector`.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        latent_dim: int,
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        kinds: Mapping[str, str] | None = None,
        decoded_shapes: Sequence[Sequence[int]] | None = None,
        image: str | Mapping[str, NetworkFactory] | None = None,
        tokens: str | Mapping[str, NetworkFactory] | None = None,
        **own: str | Mapping[str, NetworkFactory],
    ) -> None:
        super().__init__()
        plain = Pair(encoder, decoder)
        by_kind = {"vector": plain, "counts": plain, "image": plain, "tokens": plain}
        by_kind |= {
            kind: _chosen(kind, given, by_kind)
            for kind, given in {"image": image, "tokens": tokens}.items()
            if given is not None
        }
        named = kinds or {str(m): "vector" for m in range(len(shapes))}
        for name in own:
            if name not in named:
                raise ValueError(f"unknown key 'model.networks.{name}'{suggestion(name, named)}")
        pairs = [_chosen(name, own.get(name, kind), by_kind) for name, kind in named.items()]
        outputs = shapes if decoded_shapes is None else decoded_shapes
        self.encoders = nn.ModuleList(
            pair.encoder(shape=shape, latent_dim=latent_dim)
            for pair, shape in zip(pairs, shapes, strict=True)
        )
        self.decoders = nn.ModuleList(
            pair.decoder(shape=shape, latent_dim=latent_dim)
            for pair, shape in zip(pairs, outputs, strict=True)
        )

    def encode(self, x: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode M tensors (B, *shape_m) as means and log-variances, each (M, B, L)."""
        codes = [encoder(sample) for encoder, sample in zip(self.encoders, x, strict=True)]
        return torch.stack([mean for mean, _ in codes]), torch.stack([logv for _, logv in codes])

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """Parameters of p(x_m|z) for latents (B, L), shape (B, *shape_m)."""
        return self.decoders[modality](latent)


def _pair(key: str, given: Mapping[str, NetworkFactory]) -> Pair:
    if set(given) != {"encoder", "decoder"}:
        raise ValueError(f"{key} needs encoder and decoder, got {', '.join(given) or 'neither'}")
    return Pair(**given)


def _chosen(
    name: str, given: str | Mapping[str, NetworkFactory], by_kind: Mapping[str, Pair]
) -> Pair:
    """The networks of one modality: those of a kind, or its own."""
    key = f"model.networks.{name}"
    if not isinstance(given, str):
        return _pair(key, given)
    if given not in by_kind:
        raise ValueError(
            f"{key} is {given!r}; it must be one of {', '.join(by_kind)}, or an encoder and a"
            f" decoder{suggestion(given, by_kind)}"
        )
    return by_kind[given]


def _widths(hidden: Sequence[int] | None, features: int) -> Sequence[int]:
    widths = (features, features) if hidden is None else hidden
    check_widths("hidden", widths)
    return widths


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU()]
    return layers
