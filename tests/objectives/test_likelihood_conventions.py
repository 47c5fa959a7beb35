"""What every likelihood keeps: nats summed over features, single precision, exact gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mixvae.objectives.count_likelihoods import NegativeBinomial, ZeroInflatedNegativeBinomial
from mixvae.objectives.likelihoods import Bernoulli, Gaussian, Likelihood, SquaredError
from mixvae.objectives.modality_likelihoods import Categorical, Laplace, Poisson

A, B, C, D = 2, 5, 3, 4
FAMILIES: list[Likelihood] = [
    *(Bernoulli(), Gaussian(), Gaussian(0.3), SquaredError(), Laplace(0.75), Poisson()),
    *(Categorical(), NegativeBinomial(), ZeroInflatedNegativeBinomial()),
]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def draw(family: Likelihood) -> tuple[Tensor, Tensor]:
    """Parameters, shape (A, B, ...), and data that the family describes, of C * D features."""
    generator = torch.Generator().manual_seed(0)
    blocks = family.params_per_feature
    if blocks > 1 or family.counts:  # genes, along one axis
        params = torch.randn(A, B, blocks * C * D, generator=generator, dtype=torch.float64)
        return params, torch.randint(2000, (B, C * D), generator=generator).double()
    params = torch.randn(A, B, C, D, generator=generator, dtype=torch.float64)
    if isinstance(family, Categorical):
        choices = torch.randint(D, (B, C), generator=generator)
        return params, torch.nn.functional.one_hot(choices, D).double()
    if isinstance(family, Poisson):
        return params, torch.randint(4, (B, C, D), generator=generator).double()
    return params, torch.rand(B, C, D, generator=generator, dtype=torch.float64)


@every_family
def test_shapes_and_shared_samples(family: Likelihood) -> None:
    params, x = draw(family)
    value = family.nll(params, x)
    assert value.shape == (A, B)
    torch.testing.assert_close(value, family.nll(params, x.expand(A, *x.shape)))
    assert family.mean(params).shape == (A, *x.shape)


@every_family
def test_summed_over_features(family: Likelihood) -> None:
    # Fault 4: twice the features are twice the nats, in every family.
    params, x = draw(family)
    if x.ndim == 2:
        params = params.unflatten(-1, (-1, C * D)).repeat(1, 1, 1, 2).flatten(-2)
    else:
        params = torch.cat([params, params], 2)
    twice = family.nll(params, torch.cat([x, x], 1))
    torch.testing.assert_close(twice, 2 * family.nll(*draw(family)))


@every_family
def test_mixed_precision_rounds_nothing_but_the_parameters(family: Likelihood) -> None:
    params, x = draw(family)
    params = params.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value, mean = family.nll(params, x.float()), family.mean(params)
    expected = family.nll(params.double(), x)
    # What single precision leaves of counts of 2,000; bf16 was off by some nats.
    atol = 2e-2 if family.counts else 1e-5
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=atol)
    if family.counts:
        expected = family.mean(params.double())
        torch.testing.assert_close(mean.double(), expected, rtol=1e-5, atol=1e-4)


@every_family
def test_gradcheck(family: Likelihood) -> None:
    params, x = draw(family)
    # Not at a median of Laplace, where there is no slope.
    params = (params + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: family.nll(p, x), (params,), rtol=1e-4)
