"""Training on importance-weighted bounds: exact posteriors, literal loops, DReG's expectation."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from test_generative import SIZES, Encoder, events, linear, marginal
from test_multimodal import batch as toy_batch
from test_multimodal import make
from torch import Tensor, nn

from mixvae.contracts import MultimodalBatch
from mixvae.modules import JointPosteriorVAE
from mixvae.objectives.importance import component_draws, log_mean_weight, log_standard_normal
from mixvae.objectives.posteriors import GaussianMixture
from mixvae.objectives.relaxation import reparametrise


class Learned(Encoder):
    """The exact posterior with a bias that is learned."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.bias = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = super().forward(x)
        return mean + self.bias, logvar


def learned(aggregate: str, draws: int, widened: float, bias: float) -> JointPosteriorVAE:
    model = linear(
        partial(JointPosteriorVAE, aggregate=aggregate, prior_expert=aggregate == "poe"),
        num_draws=draws,
    )
    assert isinstance(model, JointPosteriorVAE)
    model.networks.encoders = nn.ModuleList(Learned((size,), 2, widened=widened) for size in SIZES)
    for encoder in model.networks.encoders:
        encoder.bias.data.fill_(bias)
    return model


def test_with_exact_posteriors_the_bound_is_the_likelihood_and_moves_no_encoder() -> None:
    torch.manual_seed(0)
    model, data = learned("poe", 5, widened=0.0, bias=0.0), events()
    loss = model.terms(data).total()
    torch.testing.assert_close(loss, -marginal(data).mean())
    gradients = torch.autograd.grad(loss, list(model.networks.encoders.parameters()))
    for gradient in gradients:
        assert float(gradient.abs()) < 1e-9


@pytest.mark.parametrize("aggregate", ["poe", "moe"])
def test_the_encoders_gradient_is_that_of_the_bound(aggregate: str) -> None:
    """In the mean over many draws; the bound's own by differences at the same random numbers."""
    draws, repeats, step = 3, 20_000, 1e-3
    data = events()
    many = MultimodalBatch(
        tuple(x[:1].expand(repeats, -1) for x in data.x),
        *(part[:1].expand(repeats, *part.shape[1:]) for part in data[1:]),
    )

    def bound(bias: float) -> Tensor:
        torch.manual_seed(1)
        model = learned(aggregate, draws, widened=0.7, bias=bias)
        joint = model.posterior_of(*model.encode(many.x, many.present), many.present)
        z = component_draws(joint, draws)
        values = []
        for each in z:
            log_q = torch.logsumexp(
                torch.stack(
                    [
                        torch.distributions.Normal(mean, (logvar / 2).exp()).log_prob(each).sum(-1)
                        for mean, logvar in zip(joint.mean, joint.logvar, strict=True)
                    ]
                ),
                0,
            ) - math.log(len(joint.mean))
            nll = sum(model._nll(each, many, m) for m in range(3))
            values.append(log_mean_weight(log_standard_normal(each) - log_q - nll).mean())
        return torch.stack(values).mean()

    with torch.no_grad():
        slope = (bound(0.2 + step) - bound(0.2 - step)) / (2 * step)
    torch.manual_seed(2)
    model = learned(aggregate, draws, widened=0.7, bias=0.2)
    model.terms(many).total().backward()
    found = -sum(encoder.bias.grad for encoder in model.networks.encoders)
    assert float(found) == pytest.approx(float(slope), rel=0.05)


def test_private_latents_have_the_bound_of_a_literal_loop() -> None:
    """Value and the decoders' gradient, over sources, draws and targets, one at a time."""
    count = 3
    present = torch.tensor([[True, True, True], [False, True, True], [True, False, False]])
    model, data = make("mmvae plus", num_draws=count), toy_batch(present, size=3)
    torch.manual_seed(3)
    terms = model.terms(data)
    weights = list(model.networks.decoders.parameters())
    found = torch.autograd.grad(terms.total(), weights, retain_graph=True)

    torch.manual_seed(3)
    codes, logvars = model.encode(data.x, data.present)
    (mean, own_mean), (logvar, own_logvar) = model._split(codes), model._split(logvars)
    used = data.present
    assert bool(used.any(dim=1).all())
    z = component_draws(GaussianMixture(mean, logvar, used), count)
    w = component_draws(GaussianMixture(own_mean, own_logvar, used), count)
    size = (*z.shape[:1], *z.shape[2:3], model.private_dim)
    prior = [
        [
            reparametrise(
                model.private_prior_mean[n].expand(size), model.private_prior_logvar[n].expand(size)
            )
            for _ in range(count)
        ]
        for n in range(3)
    ]
    normal = torch.distributions.Normal
    total = torch.zeros(())
    for b in range(len(used)):
        sources = [m for m in range(3) if used[b, m]]
        for m in sources:
            log_w = []
            for k in range(count):
                at, private = z[m, k, b], w[m, k, b]
                log_q = [
                    normal(mean[j, b], (logvar[j, b] / 2).exp()).log_prob(at).sum() for j in sources
                ]
                value = normal(0.0, 1.0).log_prob(torch.cat([at, private])).sum()
                value = value - torch.logsumexp(torch.stack(log_q), 0) + math.log(len(sources))
                scale = (own_logvar[m, b] / 2).exp()
                value = value - normal(own_mean[m, b], scale).log_prob(private).sum()
                for n in sources:
                    other = private if n == m else prior[n][k][m, b]
                    code = torch.cat([at, other]).expand(1, len(used), -1)
                    value = value - model._nll(code, data, n)[0, b]
                log_w.append(value)
            bound = log_mean_weight(torch.stack(log_w)[:, None])[0]
            total = total - bound / len(sources) / len(used)
    for one, other in zip(found, torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    # Means by weights are below the negative bound, by at most log K.
    gap = float((total - terms.total()).detach())
    assert -1e-5 <= gap <= math.log(count)


@pytest.mark.parametrize("name", ["moe", "mopoe", "mmvae plus"])
def test_what_is_missing_adds_nothing(name: str) -> None:
    present = torch.tensor([[True, True, False], [False, True, True]]).repeat(8, 1)
    model, data = make(name, num_draws=2), toy_batch(present, size=16)
    other = tuple(
        torch.where(here.view(-1, *[1] * (x.dim() - 1)), x, torch.full_like(x, 7.0))
        for x, here in zip(data.x, data.present.t(), strict=True)
    )
    losses = []
    for x in (data.x, other):
        torch.manual_seed(4)
        losses.append(model.terms(data._replace(x=x)).total())
    assert losses[0].isfinite()
    torch.testing.assert_close(*losses)
