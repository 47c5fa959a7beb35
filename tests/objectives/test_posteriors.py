"""Joint posteriors: closed forms, order, sampling, what is missing."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.posteriors import (
    AGGREGATE_KINDS,
    GaussianMixture,
    aggregate,
    draw,
    kl_bound,
    moments,
    subsets,
)

M, B, L = 4, 6, 3
every_kind = pytest.mark.parametrize("kind", AGGREGATE_KINDS)


def experts(num_modalities: int = M, size: int = B) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    mean, logvar = torch.randn(2, num_modalities, size, L, generator=generator, dtype=torch.float64)
    return mean, logvar


def everything(num_modalities: int = M, size: int = B) -> Tensor:
    return torch.ones(size, num_modalities, dtype=torch.bool)


def density(mixture: GaussianMixture, b: int) -> td.Distribution:
    """One sample's joint posterior, by torch."""
    used = mixture.used[b]
    parts = td.Normal(mixture.mean[used, b], (0.5 * mixture.logvar[used, b]).exp())
    shares = td.Categorical(torch.ones(int(used.sum())))
    return td.MixtureSameFamily(shares, td.Independent(parts, 1))


def same_density(one: GaussianMixture, other: GaussianMixture) -> None:
    z = torch.randn(20, L, dtype=torch.float64)
    for b in range(one.mean.shape[1]):
        torch.testing.assert_close(density(one, b).log_prob(z), density(other, b).log_prob(z))


@every_kind
@pytest.mark.parametrize("prior_expert", [False, True])
def test_mixed_precision_rounds_nothing(kind: str, prior_expert: bool) -> None:
    # Of narrow posteriors, three bits fewer would be several standard deviations.
    mean, logvar = (part.float() for part in experts())
    present = torch.rand(B, M) > 0.3
    plain = aggregate(mean, logvar - 6, present, kind, prior_expert)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = aggregate(mean, logvar - 6, present, kind, prior_expert)
    for got, want in zip(mixed, plain, strict=True):
        assert got.dtype == want.dtype
        assert torch.equal(got, want)


@every_kind
def test_one_modality_is_itself(kind: str) -> None:
    mean, logvar = experts(1)
    got = aggregate(mean, logvar, everything(1), kind)
    torch.testing.assert_close(got.mean, mean)
    torch.testing.assert_close(got.logvar, logvar)
    assert got.used.all()


@every_kind
def test_the_order_of_modalities_does_not_matter(kind: str) -> None:
    mean, logvar = experts()
    present = torch.rand(B, M) < 0.6
    present[:, 0] = True
    order = torch.tensor([2, 0, 3, 1])
    same_density(
        aggregate(mean[order], logvar[order], present[:, order], kind),
        aggregate(mean, logvar, present, kind),
    )


@every_kind
def test_what_is_missing_is_as_if_it_did_not_exist(kind: str) -> None:
    mean, logvar = experts()
    present = everything()
    present[:, 2:] = False
    same_density(
        aggregate(mean, logvar, present, kind),
        aggregate(mean[:2], logvar[:2], everything(2), kind),
    )


@every_kind
@pytest.mark.parametrize("prior_expert", [False, True])
def test_a_missing_modality_gets_no_gradient_whatever_stands_there(
    kind: str, prior_expert: bool
) -> None:
    mean, logvar = experts()
    present = torch.rand(B, M) < 0.5
    present[0] = False
    present[1:, 0] = True
    missing = ~present.t()
    mean[missing], logvar[missing] = torch.nan, torch.inf
    mean.requires_grad_(), logvar.requires_grad_()
    joint = aggregate(mean, logvar, present, kind, prior_expert)
    # Nothing known: the prior.
    torch.testing.assert_close(moments(joint)[0][0], torch.zeros(L).double())
    torch.testing.assert_close(moments(joint)[1][0], torch.zeros(L).double())
    value = draw(joint).sum() + kl_bound(joint).sum() + sum(part.sum() for part in moments(joint))
    assert value.isfinite()
    for gradient in torch.autograd.grad(value, (mean, logvar)):
        assert gradient.isfinite().all()
        assert not gradient[missing].any()
        assert gradient[~missing].any()


def test_avg_is_the_mean_of_means_and_of_variances() -> None:
    mean, logvar = experts()
    joint = aggregate(mean, logvar, everything(), "avg")
    torch.testing.assert_close(joint.mean[0], mean.mean(0))
    torch.testing.assert_close(joint.logvar[0].exp(), logvar.exp().mean(0))


@pytest.mark.parametrize("prior_expert", [False, True])
def test_poe_is_the_normalised_product_of_densities(prior_expert: bool) -> None:
    mean, logvar = experts()
    joint = aggregate(mean, logvar, everything(), "poe", prior_expert)
    z = torch.randn(50, B, L, dtype=torch.float64)
    product = td.Normal(mean, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(1)
    if prior_expert:
        product = product + td.Normal(0.0, 1.0).log_prob(z)
    got = td.Normal(joint.mean[0], (0.5 * joint.logvar[0]).exp()).log_prob(z)
    # The same up to a constant for each sample and dimension.
    torch.testing.assert_close(product - product[0], got - got[0])


def test_moe_is_the_mixture() -> None:
    mean, logvar = experts()
    joint = aggregate(mean, logvar, everything(), "moe")
    assert torch.equal(joint.mean, mean)
    assert torch.equal(joint.logvar, logvar)


@pytest.mark.parametrize("num_modalities", [1, 2, 3, 5, 12])
def test_mopoe_enumerates_all_sets(num_modalities: int) -> None:
    sets = subsets(num_modalities)
    assert sets.shape == (2**num_modalities - 1, num_modalities)
    known = {
        members
        for size in range(1, num_modalities + 1)
        for members in combinations(range(num_modalities), size)
    }
    assert {tuple(row.nonzero().flatten().tolist()) for row in sets} == known


def test_mopoe_mixes_the_product_of_each_set() -> None:
    mean, logvar = experts(3)
    joint = aggregate(mean, logvar, everything(3), "mopoe")
    assert joint.mean.shape[0] == 7
    for row, members in enumerate(subsets(3)):
        one = aggregate(mean[members], logvar[members], everything(int(members.sum())), "poe")
        torch.testing.assert_close(joint.mean[row], one.mean[0])
        torch.testing.assert_close(joint.logvar[row], one.logvar[0])


@every_kind
def test_draws_have_the_moments_and_the_density_of_the_mixture(kind: str) -> None:
    mean, logvar = experts(size=1)
    joint = aggregate(mean, logvar, everything(size=1), kind)
    draws = 40_000
    repeated = [value.repeat(1, draws, 1) for value in joint[:2]]
    wide = GaussianMixture(*repeated, joint.used.repeat(draws, 1))
    sample = draw(wide, torch.Generator().manual_seed(0))
    expected, logvar = moments(joint)
    scale = (0.5 * logvar[0]).exp()
    assert ((sample.mean(0) - expected[0]).abs() < 5 * scale / draws**0.5).all()
    torch.testing.assert_close(sample.var(0), scale.square(), rtol=0.05, atol=0)
    # The mean log-density at the draws is the negative entropy, by torch's own draws as well.
    other = density(joint, 0).sample((draws,))
    got, want = (density(joint, 0).log_prob(z).mean() for z in (sample, other))
    torch.testing.assert_close(got, want, rtol=0, atol=0.05)


def test_neighbours_in_a_batch_draw_components_of_their_own() -> None:
    mean = torch.arange(3.0).view(3, 1, 1).expand(3, 300, 1)
    mixture = GaussianMixture(mean, torch.full_like(mean, -20.0), torch.ones(300, 3).bool())
    choice = draw(mixture, torch.Generator().manual_seed(0)).round().long().flatten()
    assert choice.bincount().min() > 70
    # Contiguous slices would change their component twice.
    assert int((choice[1:] != choice[:-1]).sum()) > 100


def test_a_mixture_without_a_component_never_draws_it() -> None:
    mean = torch.arange(3.0).view(3, 1, 1).expand(3, 300, 1)
    used = torch.tensor([[True, False, True]]).expand(300, 3)
    sample = draw(GaussianMixture(mean, torch.full_like(mean, -20.0), used))
    assert set(sample.round().flatten().tolist()) == {0.0, 2.0}


@every_kind
def test_kl_bound_is_exact_for_one_component_and_above_the_divergence(kind: str) -> None:
    mean, logvar = experts(size=2)
    joint = aggregate(mean, logvar, everything(size=2), kind)
    bound = kl_bound(joint)
    prior = td.Independent(td.Normal(torch.zeros(L).double(), 1.0), 1)
    for b in range(2):
        sample = density(joint, b).sample((20_000,))
        ratio = density(joint, b).log_prob(sample) - prior.log_prob(sample)
        error = 4 * float(ratio.std()) / len(sample) ** 0.5
        assert float(ratio.mean()) <= float(bound[b]) + error
        if joint.mean.shape[0] == 1:
            assert abs(float(ratio.mean() - bound[b])) < error
    if joint.mean.shape[0] == 1:
        torch.testing.assert_close(bound, kl_to_standard_normal(joint.mean[0], joint.logvar[0]))


@every_kind
def test_gradcheck(kind: str) -> None:
    mean, logvar = (value.requires_grad_() for value in experts(3, size=2))
    present = torch.tensor([[True, False, True], [True, True, True]])

    def value(mean: Tensor, logvar: Tensor) -> Tensor:
        joint = aggregate(mean, logvar, present, kind, prior_expert=True)
        return kl_bound(joint).sum() + sum(part.sum() for part in moments(joint))

    assert torch.autograd.gradcheck(value, (mean, logvar))


def test_the_prior_may_be_an_expert_of_all_modalities_alone() -> None:
    mean, logvar = torch.randn(2, 3, 5, 2)
    present = torch.ones(5, 3, dtype=torch.bool)
    present[0, 1] = False
    sets = subsets(3)
    joint = aggregate(mean, logvar, present, "mopoe", "full")
    for prior, chosen in ((True, sets.all(1)), (False, ~sets.all(1))):
        other = aggregate(mean, logvar, present, "mopoe", prior)
        for one, two in zip(joint[:2], other[:2], strict=True):
            torch.testing.assert_close(one[chosen][:, 1:], two[chosen][:, 1:])
    assert (joint.used == aggregate(mean, logvar, present, "mopoe").used).all()
    nothing = aggregate(mean, logvar, torch.zeros_like(present), "mopoe", "full")
    assert not nothing.mean.any()
    assert not nothing.logvar.any()
