"""The prior of a Gaussian for each category: from z to state and back."""

from __future__ import annotations

import torch
from torch.nn import functional

from mixvae.networks.gaussian_prior import GaussianPrior
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.gaussian_components import kl_to_components

A, B, K, S = 2, 6, 3, 4


def make() -> GaussianPrior:
    prior = GaussianPrior(A, K, S).double()
    with torch.no_grad():
        prior.logvar.normal_()
    return prior


def draw() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    category = functional.one_hot(torch.randint(K, (A, B)), K).double()
    return category, *torch.randn(2, A, B, S, dtype=torch.float64)


def test_a_state_is_where_z_lies_within_its_category() -> None:
    prior, (category, mean, logvar) = make(), draw()
    state, _ = prior.state(category, mean, logvar)
    torch.testing.assert_close(prior.latent(category, state), mean)
    middle = prior.latent(category, torch.zeros_like(state))
    torch.testing.assert_close(
        middle, torch.stack([prior.mean[a, category[a].argmax(-1)] for a in range(A)])
    )


def test_mixed_precision_rounds_nothing() -> None:
    prior, (category, mean, logvar) = make().float(), (part.float() for part in draw())
    plain = prior.state(category, mean, logvar)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = prior.state(category, mean, logvar)
    for got, want in zip(mixed, plain, strict=True):
        assert torch.equal(got, want)


def test_the_divergence_is_the_same_in_states_as_in_z() -> None:
    prior, (category, mean, logvar) = make(), draw()
    all_of_them = kl_to_components(mean.unsqueeze(2), logvar.unsqueeze(2), prior.mean, prior.logvar)
    own = (all_of_them * category).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(*prior.state(category, mean, logvar)), own)


def test_it_begins_with_standard_deviations_of_1() -> None:
    category, mean, logvar = draw()
    _, spread = GaussianPrior(A, K, S).double().state(category, mean, logvar)
    assert torch.equal(spread, logvar)
