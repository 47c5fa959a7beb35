"""Small networks of several modalities for several candidates of a setting, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixvae.networks.modality import LOGVAR_BOUND


class CandidateNetworks(nn.Module):
    """One encoder and one decoder for each of M modalities, K times, with equal initial weights.

    The batch holds each event K times: rows kB to (k+1)B belong to candidate k. All modalities have
    the same number of features, and one hidden layer each.

    Args:
        num_candidates: K.
        features: Features of every modality, F.
        scales: Root mean square of the features of each modality, length M, above 0: encoders
            divide by it, decoders multiply by it.
        generator: Draws the initial weights.
    """

    scales: Tensor

    def __init__(
        self,
        num_candidates: int,
        features: int,
        latent_dim: int,
        scales: Tensor,
        generator: torch.Generator,
        hidden: int = 32,
    ) -> None:
        super().__init__()
        self.num_candidates = num_candidates
        self.register_buffer("scales", scales)

        def layer(inputs: int, outputs: int) -> nn.Parameter:
            one = torch.randn(len(scales), 1, inputs, outputs, generator=generator) / inputs**0.5
            return nn.Parameter(one.repeat(1, num_candidates, 1, 1))

        def bias(outputs: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(len(scales), num_candidates, 1, outputs))

        self.inner, self.inner_bias = layer(features, hidden), bias(hidden)
        self.head, self.head_bias = layer(hidden, 2 * latent_dim), bias(2 * latent_dim)
        self.outer, self.outer_bias = layer(latent_dim, hidden), bias(hidden)
        self.last, self.last_bias = layer(hidden, features), bias(features)

    def encode(self, x: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode M tensors (KB, F) as means and log-variances, each (M, KB, L)."""
        stacked = torch.stack(list(x)) / self.scales.view(-1, 1, 1)
        sample = stacked.unflatten(1, (self.num_candidates, -1))
        hidden = F.leaky_relu(sample @ self.inner + self.inner_bias)
        mean, raw = (hidden @ self.head + self.head_bias).flatten(1, 2).chunk(2, dim=-1)
        self.rows = stacked.shape[1]
        return mean, LOGVAR_BOUND * torch.tanh(raw / LOGVAR_BOUND)

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """Features of a modality for latents (N * KB, L), shape (N * KB, F)."""
        sizes = (len(latent) // self.rows, self.num_candidates, -1)
        code = latent.unflatten(0, sizes)
        hidden = F.leaky_relu(code @ self.outer[modality] + self.outer_bias[modality])
        features = hidden @ self.last[modality] + self.last_bias[modality]
        return features.flatten(0, 2) * self.scales[modality]
