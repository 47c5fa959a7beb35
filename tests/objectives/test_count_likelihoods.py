"""Negative binomial and its zero-inflated form against scipy, Monte Carlo and their limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mixvae.objectives.count_likelihoods import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
    negative_binomial_log_prob,
)
from mixvae.objectives.likelihoods import Likelihood

A, B, D = 2, 5, 7
FAMILIES: list[Likelihood] = [NegativeBinomial(), ZeroInflatedNegativeBinomial()]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)


def counts() -> Tensor:
    rates = torch.tensor([0.1, 0.5, 1.0, 3.0, 10.0, 100.0, 2000.0], dtype=torch.float64)
    return torch.poisson(rates.expand(B, D), generator=torch.Generator().manual_seed(1))


def parameters(family: Likelihood, dispersion: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (A, B, family.params_per_feature * D)
    params = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    params[..., D : 2 * D] += dispersion
    return params


def scipy_nll(params: Tensor, x: Tensor) -> np.ndarray:
    """-log p(x) by scipy, from the mean to the last sum; a third block inflates the zeros."""
    logits, log_dispersion, *dropout = params.numpy().reshape(A, B, -1, D).swapaxes(0, 2)
    exp = np.exp(logits.swapaxes(0, 1))
    mean = x.numpy().sum(-1)[None, :, None] * exp / exp.sum(-1, keepdims=True)
    dispersion = np.exp(log_dispersion.swapaxes(0, 1))
    log_prob = stats.nbinom.logpmf(x.numpy(), dispersion, dispersion / (dispersion + mean))
    if dropout:
        logit = dropout[0].swapaxes(0, 1)
        log_lost, log_kept = stats.logistic.logcdf(logit), stats.logistic.logsf(logit)
        zero = np.logaddexp(log_lost, log_kept + log_prob)
        log_prob = np.where(x.numpy() == 0, zero, log_kept + log_prob)
    return -log_prob.sum(-1)


@every_family
@pytest.mark.parametrize("dispersion", [-3.0, 1.0, 4.0, 8.0])
def test_equals_scipy(family: Likelihood, dispersion: float) -> None:
    params, x = parameters(family, dispersion), counts()
    expected = torch.from_numpy(scipy_nll(params, x))
    torch.testing.assert_close(family.nll(params, x), expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(("most", "nats", "slope"), [(300, 0.004, 1e-4), (3e4, 0.5, 1e-2)])
@pytest.mark.parametrize("dispersion", [-5.0, 0.0, 3.0, 8.0])
def test_single_precision_loses_what_the_docstring_says(
    dispersion: float, most: float, nats: float, slope: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(2, 50, 100, generator=generator)
    params[..., :50] *= 2
    params[..., 50:] += dispersion
    x = torch.poisson(most * torch.rand(50, 50, generator=generator), generator=generator)
    single, double = params.requires_grad_(), params.detach().double().requires_grad_()
    got, want = FAMILIES[0].nll(single, x), FAMILIES[0].nll(double, x.double())
    torch.testing.assert_close(got.double(), want, rtol=0, atol=nats)
    got.sum().backward()
    want.sum().backward()
    torch.testing.assert_close(single.grad.double(), double.grad, rtol=slope, atol=slope)


@pytest.mark.parametrize("log_dispersion", [-1.0, 2.0, 3.46, 3.47, 6.0])
def test_mean_and_variance_by_summation(log_dispersion: float) -> None:
    # All counts that matter, instead of draws: exact, on both sides of where the series takes over.
    x = torch.arange(5000, dtype=torch.float64)
    log_dispersion_ = torch.tensor(log_dispersion, dtype=torch.float64)
    prob = negative_binomial_log_prob(torch.tensor(12.0).double().log(), log_dispersion_, x).exp()
    mean = (prob * x).sum()
    variance = (prob * (x - mean) ** 2).sum()
    assert prob.sum().item() == pytest.approx(1, rel=1e-9)
    assert mean.item() == pytest.approx(12, rel=1e-8)
    assert variance.item() == pytest.approx(12 + 144 / math.exp(log_dispersion), rel=1e-8)


def test_a_large_dispersion_is_a_poisson() -> None:
    x = torch.tensor([0.0, 1.0, 7.0, 300.0], dtype=torch.float64)
    log_mean = torch.tensor([-2.0, 0.0, 2.0, 5.5], dtype=torch.float64)
    got = negative_binomial_log_prob(log_mean, torch.full_like(x, 40.0), x)
    expected = torch.distributions.Poisson(log_mean.exp()).log_prob(x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    # In single precision lgamma(x + r) - lgamma(r) would be off by thousands of nats.
    single = negative_binomial_log_prob(log_mean.float(), torch.full((4,), 18.0), x.float())
    torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=1e-3)


def test_without_dropout_the_inflated_form_is_the_plain_one() -> None:
    plain, x = parameters(FAMILIES[0]), counts()
    params = torch.cat([plain, torch.full((A, B, D), -1e4, dtype=torch.float64)], -1)
    torch.testing.assert_close(FAMILIES[1].nll(params, x), FAMILIES[0].nll(plain, x))


def test_certain_dropout_explains_zeros_for_free() -> None:
    params = torch.cat([torch.zeros(1, 1, 2 * D), torch.full((1, 1, D), 60.0)], -1)
    assert FAMILIES[1].nll(params, torch.zeros(1, D)).item() == pytest.approx(0, abs=1e-6)


@every_family
@pytest.mark.parametrize("extreme", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_value_and_gradient_at_extremes(
    family: Likelihood, extreme: float, block: int, dtype: torch.dtype
) -> None:
    x = torch.tensor([[0.0, 1.0, 1e6], [0.0, 0.0, 0.0]], dtype=dtype)
    params = torch.zeros(1, 2, family.params_per_feature, 3, dtype=dtype)
    params[:, :, min(block, family.params_per_feature - 1), ::2] = extreme
    params = params.flatten(-2).requires_grad_()
    value = family.nll(params, x)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert params.grad is not None
    assert torch.isfinite(params.grad).all()


@every_family
def test_depth_is_no_part_of_the_profile(family: Likelihood) -> None:
    params, x = parameters(family), counts()
    logits = params.clone().requires_grad_()
    family.nll(logits, 10 * x).sum().backward()
    moved = params.clone()
    moved[..., :D] += 5  # logits are relative: a shift of all changes nothing
    torch.testing.assert_close(family.nll(moved, x), family.nll(params, x))
    torch.testing.assert_close(family.mean(moved), family.mean(params))


@every_family
def test_the_mean_is_a_profile_in_log1p_counts_per_million(family: Likelihood) -> None:
    profile = family.mean(parameters(family))
    assert profile.shape == (A, B, D)
    torch.testing.assert_close(profile.expm1().sum(-1), torch.full((A, B), 1e6).double())
    scaled = replace(family, target_sum=1e4).mean(parameters(family))
    torch.testing.assert_close(scaled.expm1(), profile.expm1() / 100)
