"""The networks of A mixture-VAE agents: encoder, categorical head, state head, decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mixvae.contracts import Covariate
from mixvae.networks.axes import CategoryAxis
from mixvae.networks.batched import BatchedLinear, ByteDropout, in_full_precision, start_normal
from mixvae.networks.components import BatchAlignment, ComponentEncoder
from mixvae.networks.mlp import MLPDecoder
from mixvae.networks.wide_input import is_wide


class NetworkFactory(Protocol):
    """Builds an encoder with attribute `out_features`, or a decoder with `in_features`."""

    def __call__(self, *, num_agents: int, shape: Sequence[int]) -> nn.Module:
        """Build the network."""
        ...


class Family(Protocol):
    """A family of distributions over a sample, see `objectives.likelihoods.Likelihood`."""

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from the decoder's output, shape (A, B), nats."""
        ...


@runtime_checkable
class LayerFamily(Protocol):
    """A family whose nats are cheaper to compute from the last layer's input than its output."""

    def layer_nll(self, hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from `hidden @ weight + bias`, (A, B, D), shape (A, B), nats."""
        ...


class _Categories(nn.Module):
    """The encoder and the categorical head of A agents."""

    encoder: nn.Module
    category_head: BatchedLinear

    def features(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, *shape), or (B, *shape) seen by all, as (A, B, H)."""
        return self.encoder(x)

    def components(self, x: Tensor) -> Tensor:
        """Components of x, (..., *shape), where the encoder starts from them, else x."""
        return self.encoder.components(x) if isinstance(self.encoder, ComponentEncoder) else x

    def seen(self, x: Tensor) -> Tensor:
        """Where steps about x, (..., *shape), are made: in noise units its components, else x."""
        return self.components(x) if self.in_noise_units else x

    @property
    def in_noise_units(self) -> bool:
        """Whether encoders start from components in standard deviations of noise."""
        encoder = self.encoder
        return isinstance(encoder, ComponentEncoder) and not encoder.components.whiten

    def features_of_seen(self, seen: Tensor) -> Tensor:
        """`features` of `seen`."""
        encoder = self.encoder
        if isinstance(encoder, ComponentEncoder) and self.in_noise_units:
            return encoder.encoder(seen)
        return self.features(seen)

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log q(c|x), shape (A, B, K), from features (A, B, H)."""
        return in_full_precision(self.category_head, features)

    def category_axes(self) -> list[CategoryAxis]:
        """Every parameter that has a category axis, with the number of that axis."""
        assert self.category_head.bias is not None
        return [
            CategoryAxis(self.category_head.weight, 2),
            CategoryAxis(self.category_head.bias, 2),
        ]


class Agents(_Categories):
    """A agents, each with q(c|x), q(s|x, c) and p(x|s, c), side by side on one tensor axis.

    Layers that take the category are separate from those that take features or states
    (a linear layer on [c, s] is a sum of two), so that categories can be permuted or masked as
    whole axes of parameters.

    Args:
        decoded_shape: Shape of these parameters; None is that of the sample.
        state_dropout: Probability of dropping a state dimension at the decoder's input
            (MMIDAS: 0.2).
        state_sees_category: True: the state's posterior is q(s|x, c); False: q(s|x).
        covariates: What p(x|s, c) depends on beside; an encoder of components aligns the batches
            among them. Outside of `given` their means are taken.
        initial_scales: For each linear layer of the encoder and then the categorical head, the
            standard deviation of its first weights in units of sqrt(2 / inputs); biases start at 0.
            None starts all layers as `torch.nn.Linear` does.
    """

    average: Tensor

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_agents: int,
        num_categories: int,
        state_dim: int,
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        decoded_shape: Sequence[int] | None = None,
        state_dropout: float = 0.0,
        state_sees_category: bool = True,
        covariates: Sequence[Covariate] = (),
        initial_scales: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.state_dim = state_dim
        self.encoder = encoder(num_agents=num_agents, shape=shape)
        decoded_shape = shape if decoded_shape is None else decoded_shape
        self.decoder = decoder(num_agents=num_agents, shape=decoded_shape)
        self.state_dropout = ByteDropout(state_dropout)
        features, code = self.encoder.out_features, self.decoder.in_features
        assert isinstance(features, int)
        assert isinstance(code, int)
        self.category_head = BatchedLinear(num_agents, features, num_categories)
        if initial_scales is not None:
            start_normal([*self.encoder.modules(), self.category_head], initial_scales)
        fan_in = features + num_categories if state_sees_category else features
        self.state_from_features = BatchedLinear(num_agents, features, 2 * state_dim, fan_in=fan_in)
        self.state_from_category = (
            BatchedLinear(num_agents, num_categories, 2 * state_dim, bias=False, fan_in=fan_in)
            if state_sees_category
            else None
        )
        fan_in = num_categories + state_dim
        self.code_from_category = BatchedLinear(num_agents, num_categories, code, fan_in=fan_in)
        self.code_from_state = BatchedLinear(num_agents, state_dim, code, bias=False, fan_in=fan_in)
        self.num_batches = sum(one.is_batch for one in covariates)
        self._given: Tensor | None = None
        if covariates:
            self.register_buffer("average", torch.tensor([one.mean for one in covariates]))
            self.code_from_covariates = BatchedLinear(
                num_agents, len(covariates), code, bias=False, fan_in=fan_in
            )
        if self.aligns:
            assert isinstance(self.encoder, ComponentEncoder)
            components = self.encoder.components
            components.alignment = BatchAlignment(components.num_components, self.num_batches)

    @property
    def aligns(self) -> bool:
        """Whether the encoder sees batches laid over each other."""
        return self.num_batches > 0 and isinstance(self.encoder, ComponentEncoder)

    @contextmanager
    def given(self, covariates: Tensor | None) -> Iterator[None]:
        """Take these covariates of the samples, shape (B, V), in all that is computed within."""
        before, self._given = self._given, covariates
        try:
            yield
        finally:
            self._given = before

    def _covariates(self, size: int) -> Tensor:
        """Covariates of so many samples, shape (size, V)."""
        if self._given is None:
            return self.average.expand(size, -1)
        assert len(self._given) == size
        return self._given

    def features(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, *shape), or (B, *shape) seen by all, as (A, B, H)."""
        if not self.aligns:
            return super().features(x)
        assert isinstance(self.encoder, ComponentEncoder)
        size = x.shape[-1 - self.encoder.components.num_dims]
        return self.encoder(x, self._covariates(size)[:, : self.num_batches])

    def state(self, features: Tensor, category: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(s|x, c), each (A, B, S).

        Args:
            category: Probabilities or a relaxed sample, shape (A, B, K); not needed, and of no
                effect, where the state does not see it.
        """
        both = in_full_precision(self.state_from_features, features)
        if self.state_from_category is not None:
            assert category is not None, "this state is one given the category"
            both = both + in_full_precision(self.state_from_category, category)
        return both[..., : self.state_dim], both[..., self.state_dim :]

    def state_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(s|x), each (A, B, S), if it does not see the category."""
        return self.state(self.features(x))

    def components(self, x: Tensor) -> Tensor:
        """As without batches; components are those after batches are aligned."""
        return self.alignment(x)[1] if self.aligns else super().components(x)

    def alignment(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Components of x, (..., B, *shape), before and after alignment, each (..., B, C)."""
        assert isinstance(self.encoder, ComponentEncoder)
        components = self.encoder.components
        size = x.shape[-1 - components.num_dims]
        batch = self._covariates(size)[:, : self.num_batches]
        return components.project(x), components(x, batch)

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """Parameters of p(x|s, c), (A, B, *decoded_shape), from (A, B, K) and (A, B, S)."""
        return self.decoder(self.code(category, state))

    def nll(self, category: Tensor, state: Tensor, x: Tensor, likelihood: Family) -> Tensor:
        """-log p(x|s, c): `likelihood.nll` of `decode`, by the cheaper of two ways.

        Args:
            category: Shape (A, B, K).
            state: Shape (A, B, S).
            x: What is to be explained, shape (A, B, *shape), or (B, *shape) of all agents.
        """
        decoder, code = self.decoder, self.code(category, state)
        if isinstance(likelihood, LayerFamily) and isinstance(decoder, MLPDecoder):
            flat = x.flatten(x.dim() - len(decoder.shape))
            bias = decoder.output.bias
            if is_wide(flat) and not flat.requires_grad and bias is not None:
                hidden = decoder.hidden(code)
                return likelihood.layer_nll(hidden, decoder.output.weight, bias, flat)
        return likelihood.nll(decoder(code), x)

    def code(self, category: Tensor, state: Tensor) -> Tensor:
        """The decoder's input, (A, B, code), from (A, B, K) and (A, B, S)."""
        code = self.code_from_category(category) + self.code_from_state(self.state_dropout(state))
        if not hasattr(self, "average"):
            return code
        return code + self.code_from_covariates(self._covariates(category.shape[-2]))

    def category_axes(self) -> list[CategoryAxis]:
        """Every parameter that has a category axis, with the number of that axis."""
        first, last = super().category_axes(), [CategoryAxis(self.code_from_category.weight, 1)]
        if self.state_from_category is not None:
            last.insert(0, CategoryAxis(self.state_from_category.weight, 1))
        return first + last


class Categorisers(_Categories):
    """A agents without decoder: the encoder and the categorical head of `agents`."""

    def __init__(self, agents: Agents) -> None:
        super().__init__()
        self.encoder, self.category_head = agents.encoder, agents.category_head

    def state(self, features: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Empty state (S = 0): two tensors of shape (A, B, 0)."""
        return features[..., :0], features[..., :0]


def join_categories(log_q: Tensor, name: Tensor, kept: Tensor) -> Tensor:
    """Add up the probabilities of categories that share a name; -inf where it is not in use.

    Args:
        log_q: Log-probabilities of each agent's categories, shape (A, B, K).
        name: Name of each agent's categories, shape (A, K), int64.
        kept: Names in use, each of at least one category of every agent, shape (K,), bool.
    """
    member = name.unsqueeze(1) == torch.arange(name.shape[1], device=name.device)[:, None]
    parts = log_q.unsqueeze(2).masked_fill(~member.unsqueeze(1), -torch.inf)
    # Rows of -inf alone have no gradient; they are masked after the sum.
    gone = ~kept
    joined = parts.masked_fill(gone[:, None], 0.0).logsumexp(dim=-1)
    return joined.masked_fill(gone, -torch.inf)
