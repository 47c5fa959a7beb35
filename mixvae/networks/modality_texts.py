"""Encoders and decoders of tokens: an embedding, and convolutions along the text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixvae.networks.batched import in_full_precision
from mixvae.networks.modality import LOGVAR_BOUND

SMALLEST_LENGTH = 4  # texts are halved down to about this


class TextTrunk(nn.Module):
    """One-hot tokens (B, T, V) to the features that heads read, shape (B, features).

    Each token is embedded, by a product, so that expected tokens can be read too. Convolutions of
    stride 2 halve the text until it has at most 4 places.
    """

    def __init__(self, shape: Sequence[int], embedding: int = 64, width: int = 128) -> None:
        super().__init__()
        length, size = _text_shape(shape)
        lengths = _lengths(length)
        self.embedding = nn.Linear(size, embedding, bias=False)
        layers: list[nn.Module] = [nn.Conv1d(embedding, width, 3, padding=1), nn.LeakyReLU()]
        for _ in lengths[1:]:
            layers += [nn.Conv1d(width, width, 3, 2, 1), nn.LeakyReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.num_features = width * lengths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (B, T, V): shape (B, num_features)."""
        return self.layers(self.embedding(x).transpose(1, 2))


class TextEncoder(nn.Module):
    """One-hot tokens to mean and log-variance of q(z|x).

    Args:
        embedding: Size of a token's embedding.
        width: Channels of the convolutions.

    Source:
        mmvmvae (MMVM's code): its encoders of captions embed and convolve; this one is smaller.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, embedding: int = 64, width: int = 128
    ) -> None:
        super().__init__()
        self.trunk = TextTrunk(shape, embedding, width)
        self.head = nn.Linear(self.trunk.num_features, 2 * latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x, shape (B, T, V), as mean and bounded log-variance, each (B, L)."""
        mean, raw = in_full_precision(self.head, self.trunk(x)).chunk(2, dim=-1)
        return mean, LOGVAR_BOUND * torch.tanh(raw / LOGVAR_BOUND)


class TextDecoder(nn.Module):
    """Latent to the logits of tokens: the encoder mirrored, all places of a text at once.

    Args:
        embedding: Size of the layer before the logits.
        width: Channels of the convolutions.

    Source:
        mmvmvae (MMVM's code), whose decoder of captions gives all places at once too.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, embedding: int = 64, width: int = 128
    ) -> None:
        super().__init__()
        length, size = _text_shape(shape)
        self.lengths = _lengths(length)[::-1]
        self.width = width
        self.stem = nn.Linear(latent_dim, width * self.lengths[0])
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in self.lengths)
        self.last = nn.Sequential(
            nn.Conv1d(width, embedding, 3, padding=1), nn.LeakyReLU(), nn.Conv1d(embedding, size, 1)
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Logits for latents (B, L), shape (B, T, V)."""
        x = self.stem(latent).unflatten(-1, (self.width, self.lengths[0]))
        for block, length in zip(self.blocks, [*self.lengths[1:], None], strict=True):
            x = F.leaky_relu(block(F.leaky_relu(x)))
            if length is not None:
                x = F.interpolate(x, size=length)
        return self.last(x).transpose(1, 2)


def _text_shape(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(
            f"networks of tokens need samples of shape (tokens, vocabulary), got {tuple(shape)};"
            " use the networks of vectors"
        )
    return (shape[0], shape[1])


def _lengths(length: int) -> list[int]:
    """Lengths from the text down to at most 4, each half of the one before, rounded up."""
    lengths = [length]
    while lengths[-1] > SMALLEST_LENGTH:
        lengths.append(-(-lengths[-1] // 2))
    return lengths
