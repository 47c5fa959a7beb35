"""GMVAE: its bound against Monte Carlo and a literal loop, what evaluation decodes."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import toys
from torch.distributions import Categorical
from torch.nn import functional
from toys import B, D, K, S, batch, normal

from mixvae.modules import gmvae
from mixvae.modules.gmvae import GMVAE

make = partial(toys.make, GMVAE)


@torch.no_grad()
def spread(model: GMVAE) -> GMVAE:
    """Components, categories and their states that differ."""
    model.prior.mean.normal_()
    model.prior.logvar.normal_().mul_(0.3)
    toys.spread(model, batch().x, 50)
    model.agents.state_from_category.weight.mul_(5)
    return model


def test_the_objective_is_the_negative_bound_by_monte_carlo() -> None:
    model = spread(make()).double()
    count = 20_000
    x = batch(1).x.double()
    loss = float(model.terms(batch()._replace(x=x.expand(count, D))).total().detach())

    with torch.no_grad():
        features = model.agents.features(x)
        q = Categorical(logits=model.log_categories(features)[0, 0])
        c = q.sample((count,))
        one_hot = functional.one_hot(c, K).double()[None]
        mean, logvar = model.agents.state(features.expand(1, count, -1), one_hot)
        z = normal(mean, logvar).sample()
        log_px = -model.likelihood.nll(model.decode_latent(z), x[None])[0]
        log_pz = normal(model.prior.mean[0, c], model.prior.logvar[0, c]).log_prob(z[0])
        log_qz = normal(mean, logvar).log_prob(z)[0]
        bound = log_px + log_pz - math.log(K) - log_qz - q.log_prob(c)
    error = 4 * float(bound.std()) / math.sqrt(count)
    assert loss == pytest.approx(-float(bound.mean()), abs=2 * error)
    assert error < 0.1


def test_the_sum_over_categories_equals_a_literal_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmvae, "reparametrise", lambda mean, logvar: mean)
    model = spread(make(beta=0.7)).double()
    x = batch().x.double()
    features = model.agents.features(x)
    q = model.log_categories(features)[0].exp()
    total = torch.zeros((), dtype=torch.float64)
    for b in range(B):
        for k in range(K):
            one_hot = torch.eye(K, dtype=torch.float64)[k].view(1, 1, K)
            mean, logvar = model.agents.state(features[:, b : b + 1], one_hot)
            nll = model.likelihood.nll(model.decode_latent(mean), x[None, b : b + 1])[0, 0]
            kl = torch.distributions.kl_divergence(
                normal(mean[0, 0], logvar[0, 0]),
                normal(model.prior.mean[0, k], model.prior.logvar[0, k]),
            )
            total = total + q[b, k] * (nll + 0.7 * (kl + (K * q[b, k]).log()))
    torch.testing.assert_close(model.terms(batch()._replace(x=x)).total(), total / B)


def test_evaluation_decodes_the_latent_that_it_infers() -> None:
    model = spread(make()).double().eval()
    x = batch().x.double()
    posterior = model.infer(x)
    assert posterior.probs.argmax(-1).unique().numel() > 1
    mean, logvar = model.latents(model.agents.features(x))
    chosen = posterior.probs.argmax(-1)[..., None, None].expand(1, B, 1, S)
    z = mean.gather(2, chosen).squeeze(2)
    step = model.predict_step(batch()._replace(x=x))
    nll = model.likelihood.nll(model.decode_latent(z), x[None])
    torch.testing.assert_close(step.reconstruction, nll)
    one_hot = functional.one_hot(posterior.probs.argmax(-1), K).double()
    expected = model.likelihood.mean(model.decode_latent(z))
    torch.testing.assert_close(model.decode(one_hot, posterior.state_mean), expected)
    divergence = torch.distributions.kl_divergence(
        normal(z, logvar.gather(2, chosen).squeeze(2)), normal(*model.prior.of(one_hot))
    )
    torch.testing.assert_close(step.kl, divergence)


def test_the_prior_of_a_masked_category_has_no_part() -> None:
    model = spread(make())
    model.prune([1])
    model.terms(batch()).total().backward()
    assert not model.prior.mean.grad[0, 1].any()
    torch.testing.assert_close(model.log_prior().exp()[[0, 2, 3]], torch.full((3,), 1 / 3))
