"""Mixtures of Gaussians as priors: densities, divergences, the bound, fitting."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.gaussian_components import (
    component_log_density,
    fit_components,
    kl_to_components,
)

A, B, K, S = 2, 5, 3, 4


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def normal(mean: torch.Tensor, logvar: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * logvar).exp()), 1)


def test_densities_are_those_of_normal_distributions() -> None:
    z, mean, logvar = draw(A, B, S), draw(A, K, S), draw(A, K, S)
    expected = normal(mean[:, None], logvar[:, None]).log_prob(z[:, :, None])
    torch.testing.assert_close(component_log_density(z, mean, logvar), expected)


@pytest.mark.parametrize("own", [1, K])
def test_divergences_are_those_of_normal_distributions(own: int) -> None:
    mean, logvar, of_mean, of_logvar = draw(A, B, own, S), draw(A, B, own, S), draw(A, K, S), None
    of_logvar = draw(A, K, S)
    expected = kl_divergence(
        normal(mean.expand(A, B, K, S), logvar.expand(A, B, K, S)),
        normal(of_mean[:, None].expand(A, B, K, S), of_logvar[:, None].expand(A, B, K, S)),
    )
    torch.testing.assert_close(kl_to_components(mean, logvar, of_mean, of_logvar), expected)


def test_the_bound_of_z_and_c_equals_its_monte_carlo_estimate() -> None:
    # KL(q(z) q(c) || p(z, c)) = sum_c q(c) KL(q(z) || p(z|c)) + KL(q(c) || p(c)).
    mean, logvar = draw(1, 1, S), draw(1, 1, S)
    of_mean, of_logvar = draw(1, K, S), 0.3 * draw(1, K, S)
    log_q, log_p = draw(1, 1, K).log_softmax(-1), draw(K).log_softmax(-1)
    divergence = kl_to_components(mean[:, :, None], logvar[:, :, None], of_mean, of_logvar)
    closed = (log_q.exp() * divergence).sum(-1) + categorical_kl(log_q, log_p)

    count = 200_000
    z = normal(mean[0, 0], logvar[0, 0]).sample((count,))
    c = Categorical(logits=log_q[0, 0]).sample((count,))
    log_joint = log_p[c] + component_log_density(z[None], of_mean, of_logvar)[0][range(count), c]
    ratio = normal(mean[0, 0], logvar[0, 0]).log_prob(z) + log_q[0, 0, c] - log_joint
    error = 4 * ratio.std() / math.sqrt(count)
    assert abs(float(ratio.mean() - closed)) < error < 0.1


@pytest.fixture
def points() -> torch.Tensor:
    """300 points of three Gaussians of different shares and spreads."""
    mean = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    scale = torch.tensor([[1.0, 0.3], [0.5, 0.5], [0.4, 1.0]], dtype=torch.float64)
    kind = torch.arange(300).remainder(6).clamp_max(2)
    return mean[kind] + scale[kind] * draw(300, 2)


def test_a_fit_finds_the_mixture_that_scikit_learn_finds(points: torch.Tensor) -> None:
    fitted = fit_components(points, 3)
    reference = GaussianMixture(3, covariance_type="diag", n_init=10, random_state=0, tol=1e-9)
    reference.fit(points.numpy())
    assert fitted.log_likelihood == pytest.approx(reference.score(points.numpy()), abs=1e-3)
    order = fitted.log_weight.argsort()
    other = torch.from_numpy(reference.weights_).argsort()
    for own, theirs in (
        (fitted.log_weight.exp(), reference.weights_),
        (fitted.mean, reference.means_),
        (fitted.logvar.exp(), reference.covariances_),
    ):
        torch.testing.assert_close(own[order], torch.from_numpy(theirs)[other], rtol=0, atol=0.01)


def test_its_likelihood_is_that_of_the_points(points: torch.Tensor) -> None:
    fitted = fit_components(points, 4, num_starts=2, num_steps=5)
    density = MixtureSameFamily(
        Categorical(logits=fitted.log_weight), normal(fitted.mean, fitted.logvar)
    )
    assert fitted.log_likelihood <= float(density.log_prob(points).mean()) + 1e-9
    torch.testing.assert_close(fitted.log_weight.logsumexp(0), torch.zeros((), dtype=torch.float64))


def test_one_component_is_mean_and_variance(points: torch.Tensor) -> None:
    fitted = fit_components(points, 1)
    torch.testing.assert_close(fitted.mean[0], points.mean(0))
    torch.testing.assert_close(fitted.logvar[0].exp(), points.var(0, correction=0))


def test_a_fit_is_a_function_of_its_arguments(points: torch.Tensor) -> None:
    state = torch.get_rng_state()
    first, second = fit_components(points, 3), fit_components(points, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))
    single = fit_components(points.float(), 3)
    assert single.mean.dtype == torch.float32


@pytest.mark.parametrize("count", [1, 3, 7])
def test_points_that_are_all_the_same_are_fitted_too(count: int) -> None:
    fitted = fit_components(torch.ones(7, 2), count, num_starts=2)
    assert all(part.isfinite().all() for part in fitted[:3])
    torch.testing.assert_close(fitted.mean, torch.ones(count, 2))
