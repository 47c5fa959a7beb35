"""Small models of every kind, and batches for them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from mixvae.augmenters.adversarial import Adversarial
from mixvae.augmenters.noise import Identity
from mixvae.contracts import Batch, ModalitySpec, MultimodalBatch
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.networks.agents import Agents
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import Bernoulli, SquaredError

D, K, S, B = 6, 4, 2, 16


def agents_of(encoder_norm: str = "none", decoder_norm: str = "none") -> partial[Agents]:
    return partial(
        Agents,
        encoder=partial(MLPEncoder, hidden=(8, 5), batch_norm=encoder_norm),
        decoder=partial(MLPDecoder, hidden=(5, 8), batch_norm=decoder_norm),
    )


SHARED: dict[str, Any] = {
    "shape": (D,),
    "agents": agents_of(),
    "optimizer": partial(torch.optim.Adam, lr=1e-2),
    "num_categories": K,
}
OURS: dict[str, Any] = {  # the terms that cpl-mixVAE does not have
    "consistency_weight": 3.0,
    "adversarial_weight": 2.0,
    "adversary": Adversarial(radius=0.5),
    "information_weight": 1.5,
    "marginal_weight": 4.0,
}
SPECS = (ModalitySpec("rat", (6,)), ModalitySpec("mouse", (4, 2)), ModalitySpec("cat", (3,)))
EVENTS: dict[str, Any] = {
    "modalities": SPECS,
    "networks": partial(
        ModalityNetworks,
        encoder=partial(ModalityEncoder, hidden=(8,)),
        decoder=partial(ModalityDecoder, hidden=(8,)),
    ),
    "likelihood": SquaredError(),
    "optimizer": SHARED["optimizer"],
}


def make(kind: type, **options: Any) -> Any:
    """A model of a kind, always of the same weights."""
    torch.manual_seed(0)
    return kind(**{**SHARED, "likelihood": Bernoulli(), "state_dim": S, **options})


def make_cpl(num_agents: int = 2, **options: Any) -> CplMixVAE:
    return make(CplMixVAE, num_agents=num_agents, **{"augmenter": Identity(), **options})


def batch(size: int = B) -> Batch:
    x = torch.rand(size, D, generator=torch.Generator().manual_seed(1))
    return Batch(x, torch.zeros(size, dtype=torch.int64), torch.arange(size))


def events(*x: Tensor, present: Tensor | None = None) -> MultimodalBatch:
    """Events of these samples, which miss nothing where `present` does not say so."""
    rows = torch.arange(len(x[0]))
    if present is None:
        present = torch.ones(len(rows), len(x), dtype=torch.bool)
    none = torch.zeros_like(rows)
    return MultimodalBatch(x, present, none, rows, rows[:, None].expand(-1, len(x)))


def normal(mean: Tensor, logvar: Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * logvar).exp()), 1)


@torch.no_grad()
def spread(model: Any, x: torch.Tensor, factor: float = 100) -> None:
    """Let an untrained model use all its categories, by scaled and centred logits."""
    head = model.agents.category_head
    head.weight.mul_(factor)
    head.bias.sub_(model.agents.logits(model.agents.features(x)).mean(1, keepdim=True))


def parts_reached(model: Any, parts: dict[str, tuple[str, ...]], term: Tensor) -> set[str]:
    """The parts, by the beginnings of their parameters' names, with a gradient from a term."""
    model.zero_grad()
    term.backward()
    return {
        part
        for part, prefixes in parts.items()
        if any(
            parameter.grad is not None and parameter.grad.any()
            for key, parameter in model.named_parameters()
            if key.startswith(prefixes)
        )
    }


def at(model: Any, epoch: float, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model at an epoch of its schedules."""
    monkeypatch.setattr(type(model), "epoch", property(lambda self: epoch))
    return model
