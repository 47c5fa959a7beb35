"""Networks of the learned augmenter, a VAE whose latents are moved by noise, and of discriminators.

Those of the augmenter need no agent axis: one augmenter serves all agents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mixvae.networks.agents import NetworkFactory
from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear
from mixvae.networks.conv import activation
from mixvae.networks.mlp import check_widths
from mixvae.processes import mean_over_processes, num_processes


class Standardise(nn.Module):
    """Standardises features to mean 0 and variance 1 over all samples seen.

    A tenth of the mean variance is added to each feature's, so that a nearly constant one, such
    as a pixel at the border, is not blown up.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("variance", torch.ones(num_features))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Add samples, shape (B, D), and those of the other processes, to the statistics."""
        size = len(x) * num_processes()
        total = self.count + size
        share = size / total
        mean = mean_over_processes(x.mean(dim=0))
        variance = mean_over_processes((x - mean).square().mean(dim=0))
        difference = mean - self.mean
        spread = variance - self.variance + (1 - share) * difference.square()
        # The first samples replace the initial variance of 1.
        self.variance += share * spread
        self.mean += share * difference
        self.count.copy_(total)

    def scale(self) -> Tensor:
        """Standard deviations, shape (D,), floored."""
        return (self.variance + 0.1 * self.variance.mean()).clamp_min(1e-12).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Standardised samples (..., D)."""
        return (x - self.mean) / self.scale()

    def inverse(self, x: Tensor) -> Tensor:
        """The inverse of `forward`."""
        return x * self.scale() + self.mean


class CopyNetwork(nn.Module):
    """Encoder, noise and decoder: makes copies of samples, of any shape.

    A sample x has the latent z = mean of q(z|x). Noise n moves it by a learned shift, odd in n,
    and the copy is decoded from it:

        copy = decode(z + shift(z, n)) + residual * (x - decode(z))

    With residual 1 the copy keeps what a small latent cannot describe, such as a cell's own count
    noise, and without noise it is the sample itself. With residual 0 it is smooth, as in MMIDAS.

    Args:
        value_range: Smallest and largest value of a sample, None where unbounded.
        hidden: Widths of the encoder's layers; the decoder has them in reverse.
        dropout: Probability of dropping an input feature while training.
        residual: Share of the reconstruction's error that the copy keeps, in [0, 1].
    """

    def __init__(
        self,
        shape: Sequence[int],
        value_range: Sequence[float] | None = None,
        latent_dim: int = 20,
        noise_dim: int = 50,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.25,
        residual: float = 1.0,
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        for name, size in {"latent_dim": latent_dim, "noise_dim": noise_dim}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        _check_share("dropout", dropout, below=1.0)
        _check_share("residual", residual)
        self.shape = tuple(shape)
        self.value_range = None if value_range is None else tuple(value_range)
        self.latent_dim, self.noise_dim, self.residual = latent_dim, noise_dim, residual
        self.hidden = tuple(hidden)
        num_features = math.prod(shape)
        self.standardise = Standardise(num_features)
        self.encoder = nn.Sequential(
            nn.Dropout(dropout), _layers([num_features, *hidden, 2 * latent_dim])
        )
        self.decoder = _layers([latent_dim, *reversed(hidden), num_features])
        # No last bias: an odd function has none.
        self.shifter = _layers([latent_dim + noise_dim, hidden[-1], latent_dim], last_bias=False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (..., L), from samples (..., *shape)."""
        y = self.encoder(self.standardise(x.flatten(start_dim=x.dim() - len(self.shape))))
        return y[..., : self.latent_dim], y[..., self.latent_dim :]

    def shift(self, latent: Tensor, noise: Tensor) -> Tensor:
        """How noise (..., N) moves latents (..., L), same shape.

        An odd function of the noise: without noise it is 0, and over noise its mean is 0.
        """
        there = self.shifter(torch.cat([latent, noise], dim=-1))
        back = self.shifter(torch.cat([latent, -noise], dim=-1))
        return 0.5 * (there - back)

    def decode(self, latent: Tensor, trained: bool = True) -> Tensor:
        """Samples (..., *shape) from latents (..., L); untrained, see `apply_network`."""
        y = apply_network(self.decoder, latent, trained=trained)
        if self.value_range is None:
            y = self.standardise.inverse(y)
        else:
            low, high = self.value_range
            y = low + (high - low) * y.sigmoid()
        return y.unflatten(-1, self.shape)

    def assemble(self, x: Tensor, plain: Tensor, noisy: Tensor) -> Tensor:
        """The copy of x from its reconstruction without and with noise, all (..., *shape)."""
        copy = noisy + self.residual * (x - plain)
        return copy if self.value_range is None else copy.clamp(*self.value_range)

    def forward(self, x: Tensor, noise: Tensor, strength: float = 1.0) -> Tensor:
        """Copies (A, B, *shape) of samples (B, *shape), by noise (A, B, N).

        The strength multiplies the shifts, not the noise: the network learned their length.
        """
        latent, _ = self.encode(x)
        moved = latent + strength * self.shift(latent.expand(*noise.shape[:2], -1), noise)
        return self.assemble(x, self.decode(latent), self.decode(moved))

    def sizes(self) -> dict[str, object]:
        """Arguments that build this network again, dropout aside, as plain values."""
        return {
            "shape": list(self.shape),
            "value_range": None if self.value_range is None else list(self.value_range),
            "latent_dim": self.latent_dim,
            "noise_dim": self.noise_dim,
            "hidden": list(self.hidden),
            "residual": self.residual,
        }


class Discriminator(nn.Module):
    """Tells samples from copies.

    Both can get normal noise added (while training), which hides artefacts that give copies away
    at once and teach nothing, such as exact zeros in copies without residual.

    Args:
        dropout: Probability of dropping an input feature while training.
        input_noise: Standard deviation of the noise, in standard deviations of the features.
    """

    def __init__(
        self,
        shape: Sequence[int],
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.0,
        input_noise: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        _check_share("dropout", dropout, below=1.0)
        if not 0 <= input_noise < math.inf:
            raise ValueError(f"input_noise must be at least 0, got {input_noise}")
        self.input_noise = input_noise
        self.layers = nn.Sequential(nn.Dropout(dropout), _layers([math.prod(shape), *hidden, 1]))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of "a sample", shape (B,), for standardised x, shape (B, D)."""
        if self.training and self.input_noise > 0:
            x = x + self.input_noise * torch.randn_like(x)
        return self.layers(x).squeeze(-1)


class HeadedEncoder(nn.Module):
    """A trunk and one fully connected layer more: in InfoGAN D sees the trunk, Q sees the layer.

    Args:
        features: Width of the layer, the number of output features.
        slope: Slope of its activation below 0; batch norm is before it.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        trunk: NetworkFactory,
        features: int = 128,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths("features", [features])
        self.trunk = trunk(num_agents=num_agents, shape=shape)
        self.out_features = features
        width = self.trunk.out_features
        assert isinstance(width, int)
        self.head = nn.Sequential(
            BatchedLinear(num_agents, width, features),
            *activation(slope, BatchedBatchNorm(num_agents, features)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, *shape) or (B, *shape), as (A, B, features)."""
        output: Tensor = self.head(self.trunk(x))
        return output


def apply_network(network: nn.Module, x: Tensor, *, trained: bool) -> Tensor:
    """The output for x; untrained, the network's parameters get no gradient, and x gets its own."""
    if trained:
        output: Tensor = network(x)
        return output
    fixed = {name: value.detach() for name, value in network.named_parameters()}
    return functional_call(network, fixed, (x,))


def freeze(network: nn.Module) -> None:
    """Turn parameters into buffers that are in no checkpoint and no optimiser."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach(), persistent=False)
        module._non_persistent_buffers_set.update(module._buffers)


def _layers(widths: Sequence[int], last_bias: bool = True) -> nn.Sequential:
    """Linear layers, each but the last followed by a layer norm and a leaky ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=last_bias))


def _check_share(name: str, value: float, below: float = math.inf) -> None:
    if not (0 <= value <= 1 and value < below):
        raise ValueError(f"{name} must lie in [0, 1{']' if below > 1 else ')'}, got {value}")
