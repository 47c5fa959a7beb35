"""MMVM the plain way: ordinary networks, each modality and each pair of them visited in a loop.

The yardstick of `experiments.bench`: the same mathematics as `mixvae.modules.MMVM` (the pairwise
divergence, squared errors), as a reader of the paper would write it first. A test proves that both
have the same loss and gradients.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from mixvae.modules import MMVM
from mixvae.networks.modality import LOGVAR_BOUND


class Widths(NamedTuple):
    """The sizes that the model and the loop share.

    Attributes:
        features: Features of each modality, M numbers.
        hidden: Widths of the hidden layers; None: two as wide as the sample.
        latent_dim: Latent dimensions L.
        batch_size: Events of a training step, B.
    """

    features: tuple[int, ...]
    hidden: tuple[int, ...] | None
    latent_dim: int = 2
    batch_size: int = 128

    def layers_of(self, modality: int) -> tuple[int, ...]:
        """Widths of a modality's hidden layers."""
        return (self.features[modality],) * 2 if self.hidden is None else self.hidden


class Modality(nn.Module):
    """One modality: its encoder with two heads, and its decoder."""

    def __init__(self, num_features: int, hidden: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.encoder = _layers([num_features, *hidden])
        self.mean = nn.Linear(hidden[-1], latent_dim)
        self.logvar = nn.Linear(hidden[-1], latent_dim)
        output = nn.Linear(hidden[-1], num_features)
        self.decoder = nn.Sequential(*_layers([latent_dim, *hidden]), output)


class ModalityLoop(nn.Module):
    """M modalities in a list; `loss` visits them one by one and then each pair."""

    def __init__(self, widths: Widths, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.modalities = nn.ModuleList(
            Modality(num_features, widths.layers_of(m), widths.latent_dim)
            for m, num_features in enumerate(widths.features)
        )

    def loss(self, x: Sequence[Tensor], noise: Tensor | None = None) -> Tensor:
        """The objective on M tensors (B, D_m): a scalar, nats. `noise`, (M, B, L), if given."""
        posteriors, error = [], x[0].new_zeros(len(x[0]))
        for m, net in enumerate(self.modalities):
            features = net.encoder(x[m])
            mean = net.mean(features)
            logvar = LOGVAR_BOUND * torch.tanh(net.logvar(features) / LOGVAR_BOUND)
            normal = torch.randn_like(mean) if noise is None else noise[m]
            output = net.decoder(mean + normal * torch.exp(0.5 * logvar))
            error = error + F.mse_loss(output, x[m], reduction="none").sum(dim=1)
            posteriors.append((mean, logvar))
        divergences = [gaussian_kl(*p, *q) for p, q in itertools.product(posteriors, repeat=2)]
        divergence = torch.stack(divergences).sum(dim=0) / len(posteriors)
        return (error + self.beta * divergence).mean()


def gaussian_kl(mean: Tensor, logvar: Tensor, mean2: Tensor, logvar2: Tensor) -> Tensor:
    """KL of two diagonal Gaussians (B, L), shape (B,), nats; as the authors' code has it."""
    first = Normal(mean, torch.exp(0.5 * logvar))
    second = Normal(mean2, torch.exp(0.5 * logvar2))
    return kl_divergence(first, second).sum(dim=-1)


@torch.no_grad()
def copy_weights(model: MMVM, loop: ModalityLoop) -> None:
    """Give the loop's modalities the parameters of the model's."""
    for m, net in enumerate(loop.modalities):
        encoder, decoder = model.networks.encoders[m], model.networks.decoders[m]
        net.encoder.load_state_dict(encoder.layers.state_dict())
        net.decoder.load_state_dict(decoder.layers.state_dict())
        for kind in ("weight", "bias"):
            mean, logvar = getattr(encoder.head, kind).chunk(2)
            getattr(net.mean, kind).copy_(mean)
            getattr(net.logvar, kind).copy_(logvar)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU()]
    return nn.Sequential(*layers)
