"""Draws and importance-weighted likelihoods against the closed forms of linear Gaussian models."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import toys
from test_multimodal import MODELS, make
from test_multimodal import batch as toy_batch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from mixvae.contracts import GenerativeModel, ModalitySpec, MultimodalBatch
from mixvae.modules import MMVM, JointPosteriorVAE, MMVAEPlus
from mixvae.networks.modality import ModalityNetworks
from mixvae.objectives.importance import halves
from mixvae.objectives.likelihoods import Gaussian
from mixvae.objectives.posteriors import GaussianMixture, draw, moments

NOISE, L, B = 0.5, 2, 6
SIZES = (4, 6, 5)


def loading(features: int) -> Tensor:
    """Orthogonal columns, so that the posterior of one modality is a diagonal Gaussian."""
    generator = torch.Generator().manual_seed(features)
    columns = torch.linalg.qr(torch.randn(features, L, generator=generator, dtype=torch.float64))
    return columns.Q * torch.tensor([1.5, 0.7], dtype=torch.float64)


class Encoder(nn.Module):
    """The expert of a modality: its likelihood as a function of z, `widened` in log-variance."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, widened: float = 0.0) -> None:
        super().__init__()
        self.weight, self.widened = loading(shape[0]), widened

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        strength = self.weight.square().sum(0)
        logvar = (NOISE / strength).log() + self.widened
        return x @ self.weight / strength, logvar.expand(len(x), -1)


class Decoder(nn.Module):
    def __init__(self, shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.weight = loading(shape[0])

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T


def linear(kind: type, widened: float = 0.0, **options: object) -> object:
    networks = partial(ModalityNetworks, encoder=partial(Encoder, widened=widened), decoder=Decoder)
    specs = [ModalitySpec(f"m{m}", (size,)) for m, size in enumerate(SIZES)]
    shared = {"modalities": specs, "networks": networks, "likelihood": Gaussian(NOISE)}
    return kind(optimizer=torch.optim.SGD, latent_dim=L, beta=1.0, **shared, **options).double()


poe = partial(linear, partial(JointPosteriorVAE, aggregate="poe", prior_expert=True))


def events(missing: bool = False) -> MultimodalBatch:
    generator = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    z = normal(B, L)
    x = tuple(z @ loading(size).T + math.sqrt(NOISE) * normal(B, size) for size in SIZES)
    present = torch.ones(B, len(SIZES), dtype=torch.bool)
    if missing:
        present[::2, 1] = False
    return toys.events(*x, present=present)


def normal_at(x: Tensor, mean: Tensor, weight: Tensor, latent: Tensor) -> Tensor:
    """log N(x; W mean, W diag(latent) W^T + noise) for rows of x and mean."""
    covariance = weight * latent @ weight.T + NOISE * torch.eye(len(weight), dtype=torch.float64)
    return MultivariateNormal(mean @ weight.T, covariance).log_prob(x)


def marginal(data: MultimodalBatch) -> Tensor:
    """Exact log p(what is present) of each event."""
    values = []
    for n in range(B):
        there = [m for m in range(len(SIZES)) if data.present[n, m]]
        weight = torch.cat([loading(SIZES[m]) for m in there])
        x = torch.cat([data.x[m][n] for m in there])
        zero = torch.zeros(L, dtype=torch.float64)
        values.append(normal_at(x, zero, weight, torch.ones_like(zero)))
    return torch.stack(values)


@pytest.mark.parametrize("missing", [False, True])
def test_with_exact_posteriors_the_joint_bound_is_the_likelihood(missing: bool) -> None:
    data = events(missing)
    torch.testing.assert_close(poe().joint_log_likelihood(data, 1), marginal(data))


def test_with_other_posteriors_the_bound_is_below_and_tightens_with_draws() -> None:
    torch.manual_seed(0)
    data, model = events(), poe(widened=1.5)
    exact = marginal(data).mean()
    gaps = [
        float(exact - torch.stack([model.joint_log_likelihood(data, k) for _ in range(200)]).mean())
        for k in (1, 4, 32)
    ]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0
    torch.testing.assert_close(
        model.joint_log_likelihood(data, 20_000), marginal(data), atol=0.05, rtol=0
    )


def test_the_conditional_likelihood_is_that_of_the_posterior_of_a_subset() -> None:
    torch.manual_seed(0)
    data, model, given = events(), poe(), torch.tensor([True, False, True])
    mean, logvar = moments(
        model.posterior_of(*model.encode(data.x, data.present), data.present & given)
    )
    exact = normal_at(data.x[1], mean, loading(SIZES[1]), logvar[0].exp())
    found = model.conditional_log_likelihood(data, given, 1, 4000)
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0)
    joint = marginal(data)
    without = marginal(data._replace(present=data.present & given))
    torch.testing.assert_close(exact, joint - without)


def mixed(model: MMVM, data: MultimodalBatch, target: int, given: list[int]) -> Tensor:
    """The integral of p(x_n|z) over the mixture of the posteriors of the given modalities."""
    mean, logvar = model.encode(data.x, data.present)
    weight = loading(SIZES[target])
    parts = [normal_at(data.x[target], mean[m], weight, logvar[m, 0].exp()) for m in given]
    return torch.logsumexp(torch.stack(parts), 0) - math.log(len(parts))


def test_mmvm_integrates_over_the_mixture_of_posteriors() -> None:
    torch.manual_seed(0)
    data, model = events(), linear(MMVM)
    found = model.conditional_log_likelihood(data, torch.tensor([True, False, True]), 1, 4000)
    torch.testing.assert_close(found, mixed(model, data, 1, [0, 2]), atol=0.1, rtol=0)
    exact = sum(mixed(model, data, m, [0, 1, 2]) for m in range(3))
    torch.testing.assert_close(model.joint_log_likelihood(data, 4000), exact, atol=0.2, rtol=0)


def test_independent_models_add_up_their_own_likelihoods() -> None:
    torch.manual_seed(0)
    data, model = events(), linear(MMVM, widened=0.3, alpha=1.0)
    alone = torch.eye(3, dtype=torch.bool)
    exact = sum(marginal(data._replace(present=here.expand(B, 3))) for here in alone)
    torch.testing.assert_close(model.joint_log_likelihood(data, 4000), exact, atol=0.2, rtol=0)


def test_private_latents_have_their_own_prior() -> None:
    """With L - 1 private dimensions each modality shares the first column of its loading."""
    torch.manual_seed(0)
    data = events()
    networks = partial(ModalityNetworks, encoder=partial(Encoder, widened=0.3), decoder=Decoder)
    model = MMVAEPlus(
        modalities=[ModalitySpec(f"m{m}", (size,)) for m, size in enumerate(SIZES)],
        networks=networks,
        likelihood=Gaussian(NOISE),
        optimizer=torch.optim.SGD,
        latent_dim=1,
        private_dim=1,
        beta=1.0,
    ).double()
    columns = [loading(size) for size in SIZES]
    own = torch.block_diag(*(weight[:, 1:] for weight in columns))
    weight = torch.cat([torch.cat([weight[:, :1] for weight in columns]), own], dim=1)
    zero = torch.zeros(B, weight.shape[1], dtype=torch.float64)
    exact = normal_at(torch.cat(data.x, dim=1), zero, weight, torch.ones_like(zero[0]))
    found = model.joint_log_likelihood(data, 20_000)
    torch.testing.assert_close(found, exact, atol=0.15, rtol=0)


def test_halves_integrate_where_plain_draws_find_nothing() -> None:
    """E f(z) over N(0, 1) of a narrow peak at 4, which plain draws seldom meet."""
    torch.manual_seed(0)
    wide = GaussianMixture(*torch.zeros(2, 1, 400, 1), torch.ones(400, 1, dtype=torch.bool))
    narrow = GaussianMixture(wide.mean + 4, wide.logvar + 2 * math.log(0.1), wide.used)
    z, weights = halves(wide, narrow, 200)
    peak = torch.distributions.Normal(4.0, 0.1).log_prob(z).squeeze(-1)
    exact = torch.distributions.Normal(0.0, math.sqrt(1.01)).log_prob(torch.tensor(4.0))
    found = (weights + peak).exp().mean(0)
    assert found.mean() == pytest.approx(float(exact.exp()), rel=0.05)
    assert found.std() < found.mean()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_draws_from_the_posterior_of_a_subset(name: str) -> None:
    model, data = make(name), toy_batch()
    assert isinstance(model, GenerativeModel)
    given = torch.tensor([True, False, True])
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    drawn = model.draw(data.x, data.present & given, generators[0])
    posterior = model.posterior_of(*model.experts(data.x, data.present), data.present & given)
    torch.testing.assert_close(drawn, draw(posterior, generators[1]))
    other = [part.clone() for part in data.x]
    other[1] += 1  # a modality that is not given
    again = model.draw(other, data.present & given, torch.Generator().manual_seed(5))
    torch.testing.assert_close(again, drawn)
    if name == "ae":
        means = model.encode(data.x, data.present)[0][given]
        assert ((drawn - means).abs().amax(-1).amin(0) == 0).all()
        return
    for value in (
        model.joint_log_likelihood(data, 4),
        model.conditional_log_likelihood(data, given, 1, 4),
    ):
        assert value.shape == data.label.shape
        assert value.isfinite().all()
