"""cpl-mixVAE the plain way: one ordinary network per agent, visited in a loop.

The yardstick of `experiments.bench`: the same mathematics as `mixvae.modules.CplMixVAE` (the
paper's terms, perturbed coupling), written as a reader of the paper would write it first, with
torch's own layers, dropout and losses. A test proves that both have the same loss and gradients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixvae.modules import CplMixVAE
from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear
from mixvae.networks.conv import ConvDecoder, ConvEncoder


class Sizes(NamedTuple):
    """The sizes and constants that the batched model and the loop share.

    Attributes:
        features: Features D of a sample.
        categories: Categories K.
        state_dim: State dimensions S.
        batch_size: Samples of a training step, B.
        encoder: Widths of the encoder's layers.
        decoder: Widths of the decoder's layers, the first being that of the code.
        batch_norm: `before` each ReLU with scale and offset, or `after` it without them.
        dropout: Probability of dropping an input feature.
        tau: q(c|x) = softmax(logits / tau).
        double_softmax: q(c|x) = softmax(softmax(logits) / tau), as MMIDAS.
        temperature: Of the Gumbel-softmax sample.
        binary: Bernoulli likelihood; the squared error otherwise.
        channels: Of joint-vae's convolutions, for square images of one channel; then the encoder
            and decoder have one fully connected layer each, of their first width. None: no images.
    """

    features: int
    categories: int
    state_dim: int
    batch_size: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    batch_norm: str
    dropout: float
    tau: float
    double_softmax: bool
    temperature: float
    binary: bool
    channels: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        side = math.isqrt(self.features)
        return (1, side, side) if self.channels else (self.features,)


class Noise(NamedTuple):
    """The random numbers of one step, for a comparison with another model.

    Attributes:
        exponential: Unit exponentials behind the Gumbel noise, shape (A, B, K).
        normal: Standard normals behind the states, shape (A, B, S).
    """

    exponential: Tensor
    normal: Tensor


class Agent(nn.Module):
    """One agent: its encoder, heads and decoder."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        features, code = sizes.encoder[-1], sizes.decoder[0]
        self.state_dim = sizes.state_dim
        self.encoder = (
            _convolutions(sizes)
            if sizes.channels
            else _layers([sizes.features, *sizes.encoder], sizes.batch_norm)
        )
        self.category_head = nn.Linear(features, sizes.categories)
        self.state_head = nn.Linear(features + sizes.categories, 2 * sizes.state_dim)
        rest = (
            _transposed_convolutions(sizes)
            if sizes.channels
            else [
                *_layers(sizes.decoder, sizes.batch_norm),
                nn.Linear(sizes.decoder[-1], sizes.features),
            ]
        )
        first = _layers([sizes.categories + sizes.state_dim, code], sizes.batch_norm)
        self.decoder = nn.Sequential(*first, *rest)

    def state(self, features: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(s|x, c), each (B, S)."""
        both = self.state_head(torch.cat([features, category], dim=1))
        return both[:, : self.state_dim], both[:, self.state_dim :]


class AgentLoop(nn.Module):
    """A agents in a list; `loss` visits them one by one and then each pair."""

    def __init__(self, num_agents: int, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.agents = nn.ModuleList(Agent(sizes) for _ in range(num_agents))

    def loss(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """The paper's objective on samples x, shape (B, *shape): a scalar, nats."""
        scale = max(len(self.agents) - 1, 1)
        total = x.new_zeros(())
        log_qs, deviations = [], []
        for a, agent in enumerate(self.agents):
            features = agent.encoder(F.dropout(x, self.sizes.dropout, self.training))
            log_q = self._log_q(agent.category_head(features))
            q = log_q.exp()
            exponential = torch.empty_like(q).exponential_() if noise is None else noise[0][a]
            category = F.softmax((log_q - exponential.log()) / self.sizes.temperature, dim=1)
            mean, logvar = agent.state(features, category)
            normal = torch.randn_like(mean) if noise is None else noise[1][a]
            state = mean + normal * torch.exp(0.5 * logvar)
            output = agent.decoder(torch.cat([category, state], dim=1))
            kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(dim=1)
            entropy = -(q * log_q).sum(dim=1)
            total = total + scale * (self._reconstruction(output, x) + kl - entropy).mean()
            log_qs.append(log_q)
            deviations.append(q.var(dim=0, unbiased=False).clamp_min(1e-12).sqrt())
        floor = 0.1 / self.sizes.categories**0.5 * torch.stack(deviations).mean()
        deviations = [torch.maximum(deviation, floor) for deviation in deviations]
        for a, b in itertools.combinations(range(len(self.agents)), 2):
            difference = log_qs[a] / deviations[a] - log_qs[b] / deviations[b]
            total = total + difference.pow(2).sum(dim=1).mean()
        return total

    def _log_q(self, logits: Tensor) -> Tensor:
        if self.sizes.double_softmax:
            logits = F.softmax(logits, dim=1)
        return F.log_softmax(logits / self.sizes.tau, dim=1)

    def _reconstruction(self, output: Tensor, x: Tensor) -> Tensor:
        if self.sizes.binary:
            loss = F.binary_cross_entropy_with_logits(output, x, reduction="none")
        else:
            loss = F.mse_loss(output, x, reduction="none")
        return loss.flatten(1).sum(dim=1)


@torch.no_grad()
def copy_weights(model: CplMixVAE, loop: AgentLoop) -> None:
    """Give the loop's agents the parameters of the batched model's, slice by slice."""
    net = model.agents
    for a, agent in enumerate(loop.agents):
        _copy_layers([*net.encoder.layers, *_own_output(net.encoder)], agent.encoder, a)
        _copy_linear([net.category_head], agent.category_head, a)
        _copy_linear([net.state_from_features, net.state_from_category], agent.state_head, a)
        first, *rest = agent.decoder
        _copy_linear([net.code_from_category, net.code_from_state], first, a)
        _copy_layers(_decoder_layers(net.decoder), rest, a)


def _layers(widths: list[int] | tuple[int, ...], batch_norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers.append(nn.Linear(inputs, outputs))
        if batch_norm == "before":
            layers += [nn.BatchNorm1d(outputs), nn.ReLU()]
        elif batch_norm == "after":
            layers += [nn.ReLU(), nn.BatchNorm1d(outputs, momentum=0.01, affine=False)]
        else:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _convolutions(sizes: Sizes) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise([1, *sizes.channels]):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
    side = sizes.shape[1] >> len(sizes.channels)
    full = nn.Linear(sizes.channels[-1] * side**2, sizes.encoder[0])
    return nn.Sequential(*layers, nn.Flatten(), full, nn.ReLU())


def _transposed_convolutions(sizes: Sizes) -> list[nn.Module]:
    """The encoder's convolutions the other way round; sides must be halved without remainder."""
    side, most = sizes.shape[1] >> len(sizes.channels), sizes.channels[-1]
    layers: list[nn.Module] = [
        nn.Linear(sizes.decoder[0], most * side**2),
        nn.Unflatten(1, (most, side, side)),
    ]
    for inputs, outputs in itertools.pairwise([*sizes.channels[::-1], 1]):
        layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    return layers


def _own_output(encoder: nn.Module) -> list[nn.Module]:
    """The fully connected layer of a convolutional encoder, behind a flattening of the loop's."""
    return [nn.Flatten(), *encoder.output] if isinstance(encoder, ConvEncoder) else []


def _decoder_layers(decoder: nn.Module) -> list[nn.Module]:
    if isinstance(decoder, ConvDecoder):
        return [decoder.activation, decoder.input, nn.Unflatten(1, decoder.start), *decoder.layers]
    return [*decoder.activation, *decoder.layers, decoder.output]


def _copy_layers(batched: list[nn.Module], plain: Iterable[nn.Module], agent: int) -> None:
    for source, target in zip(batched, plain, strict=True):
        if isinstance(source, BatchedLinear):
            _copy_linear([source], target, agent)
        elif isinstance(source, BatchedBatchNorm) and source.weight is not None:
            target.weight.copy_(source.weight[agent])
            target.bias.copy_(source.bias[agent])
        elif isinstance(source, nn.Conv2d | nn.ConvTranspose2d):
            target.weight.copy_(source.weight.chunk(source.groups)[agent])
            target.bias.copy_(source.bias.chunk(source.groups)[agent])


def _copy_linear(blocks: list[BatchedLinear], target: nn.Linear, agent: int) -> None:
    """Blocks of input columns side by side make one ordinary layer; the first has the bias."""
    target.weight.copy_(torch.cat([block.weight[agent] for block in blocks]).T)
    target.bias.copy_(blocks[0].bias[agent, 0])
