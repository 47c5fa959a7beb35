"""Agents without decoder: the same categories, no state, nothing else kept."""

from __future__ import annotations

from functools import partial

import torch

from mixvae.networks.agents import Agents, Categorisers
from mixvae.networks.mlp import MLPDecoder, MLPEncoder


def test_categorisers_name_as_their_agents_do_and_keep_nothing_else() -> None:
    agents = Agents(
        shape=(6,),
        num_agents=2,
        num_categories=3,
        state_dim=0,
        encoder=partial(MLPEncoder, hidden=(5,)),
        decoder=partial(MLPDecoder, hidden=(4,)),
    )
    categorisers = Categorisers(agents)
    x = torch.randn(7, 6)
    features = categorisers.features(x)
    assert torch.equal(categorisers.logits(features), agents.logits(agents.features(x)))
    assert [part.shape for part in categorisers.state(features, features)] == [(2, 7, 0)] * 2
    kept = {name.split(".")[0] for name, _ in categorisers.named_parameters()}
    assert kept == {"encoder", "category_head"}
    for parameter, axis in categorisers.category_axes():
        assert parameter.shape[axis] == 3
