"""Each family against torch.distributions, and the one convention: nats, summed over features."""

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from mixvae.objectives.count_likelihoods import NegativeBinomial
from mixvae.objectives.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    SquaredError,
    half_null_deviance,
)

FAMILIES: list[Likelihood] = [Bernoulli(), Gaussian(), Gaussian(0.3), SquaredError()]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def params_and_data(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = 3 * torch.randn(2, 5, *shape, generator=generator, dtype=torch.float64)
    return params, torch.rand(5, *shape, generator=generator, dtype=torch.float64)


def test_bernoulli_equals_torch() -> None:
    logits, x = params_and_data(1, 4, 4)
    bits = x.round()
    expected = -td.Bernoulli(logits=logits).log_prob(bits.expand_as(logits)).sum((2, 3, 4))
    torch.testing.assert_close(Bernoulli().nll(logits, bits), expected)


@pytest.mark.parametrize("variance", [0.1, 1.0, 4.0])
def test_gaussian_equals_torch(variance: float) -> None:
    mean, x = params_and_data(6)
    expected = -td.Normal(mean, math.sqrt(variance)).log_prob(x).sum(-1)
    torch.testing.assert_close(Gaussian(variance).nll(mean, x), expected)


def test_squared_error_is_a_gaussian_of_variance_one_half_without_its_constant() -> None:
    mean, x = params_and_data(6)
    expected = Gaussian(0.5).nll(mean, x) - 3 * math.log(math.pi)
    torch.testing.assert_close(SquaredError().nll(mean, x), expected)
    torch.testing.assert_close(SquaredError().nll(mean, x), (mean - x).square().sum(-1))


@every_family
def test_the_mean_is_the_most_likely_parameter(family: Likelihood) -> None:
    params, _ = params_and_data(6)
    params.requires_grad_()
    (gradient,) = torch.autograd.grad(
        family.nll(params, family.mean(params).detach()[0]).sum(), params
    )
    torch.testing.assert_close(gradient[0], torch.zeros_like(gradient[0]))


def test_bernoulli_stays_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[[1e4, -1e4]]]).requires_grad_()
    value = Bernoulli().nll(logits, torch.tensor([[0.0, 1.0]]))
    value.sum().backward()
    assert value.item() == 2e4
    assert logits.grad is not None
    assert logits.grad.tolist() == [[[1.0, -1.0]]]


def test_a_copy_out_of_range_is_brought_to_where_bernoulli_has_a_bound() -> None:
    logits, x = params_and_data(1, 4, 4)
    copies = x + torch.randn(2, *x.shape).double()
    # A decoder that is sure of the nearer end would gain without end outside of [0, 1].
    sure = 1e3 * (copies - 0.5).sign()
    assert (Bernoulli().nll(sure, copies) < -100).all()
    nearest = Bernoulli().nearest(copies)
    Bernoulli().check(nearest)
    for params in (logits, sure):
        assert (Bernoulli().nll(params, nearest) >= 0).all()


@every_family
def test_a_copy_in_range_is_its_own_nearest_bit_for_bit(family: Likelihood) -> None:
    _, x = params_and_data(1, 4, 4)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    assert torch.equal(family.nearest(x), x)


@pytest.mark.parametrize("family", [Gaussian(), SquaredError()], ids=repr)
def test_others_take_a_copy_as_it_is(family: Likelihood) -> None:
    x = torch.full((3, 4), -7.0)
    assert family.nearest(x) is x


def test_half_the_null_deviance_is_what_torch_says() -> None:
    _, x = params_and_data(1, 4, 4)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    mean = x.mean(0).expand_as(x)
    bernoulli = td.kl_divergence(td.Bernoulli(x), td.Bernoulli(mean)).sum((1, 2, 3)).mean()
    assert half_null_deviance(Bernoulli(), x) == pytest.approx(float(bernoulli), rel=1e-5)
    gaussian = td.kl_divergence(td.Normal(x, 0.5), td.Normal(mean, 0.5)).sum((1, 2, 3)).mean()
    assert half_null_deviance(Gaussian(0.25), x) == pytest.approx(float(gaussian))
    assert half_null_deviance(SquaredError(), x) == pytest.approx(float(gaussian) / 2)


def test_equal_samples_say_nothing_and_counts_have_no_rule() -> None:
    assert half_null_deviance(Bernoulli(), torch.full((5, 3), 0.3)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="NegativeBinomial; set"):
        half_null_deviance(NegativeBinomial(), torch.ones(5, 3))
