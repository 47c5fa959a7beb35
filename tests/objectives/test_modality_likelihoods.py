"""Each family against torch.distributions, and the one convention: nats, summed over features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.modality_likelihoods import Categorical, Laplace, Poisson

FAMILIES: list[Likelihood] = [Laplace(0.75), Laplace(2.0), Poisson(), Categorical()]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def params_and_data(family: Likelihood) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    if isinstance(family, Categorical):
        choices = torch.randint(4, (5, 3), generator=generator)
        return params, torch.nn.functional.one_hot(choices, 4).double()
    return params, torch.randint(4, (5, 3, 4), generator=generator).double()


def reference(family: Likelihood, params: Tensor) -> td.Distribution:
    if isinstance(family, Laplace):
        return td.Laplace(params, family.scale)
    if isinstance(family, Poisson):
        return td.Poisson(params.exp())
    return td.OneHotCategorical(logits=params)


@every_family
def test_equals_torch(family: Likelihood) -> None:
    params, x = params_and_data(family)
    expected = -reference(family, params).log_prob(x).flatten(2).sum(-1)
    torch.testing.assert_close(family.nll(params, x), expected)
    torch.testing.assert_close(family.mean(params), reference(family, params).mean)


@every_family
def test_the_nearest_to_a_copy_passes_and_own_data_are_their_own(family: Likelihood) -> None:
    _, x = params_and_data(family)
    assert torch.equal(family.nearest(x), x)
    noisy = family.nearest(x + torch.randn(x.shape).double())
    if not isinstance(family, Categorical):  # whose values need not sum to 1
        family.check(noisy)
        return
    assert noisy.min() >= 0
    assert noisy.max() <= 1
