"""What mixtures share: masked categories as if they were not there, alignment, counts, checks."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import toys
from toys import OURS, B, D

from mixvae.contracts import Batch, MixtureModel
from mixvae.modules import cpl_mixvae
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.networks.axes import permute_categories
from mixvae.objectives.assignment import joint_counts
from mixvae.objectives.count_likelihoods import NegativeBinomial, ZeroInflatedNegativeBinomial
from mixvae.objectives.coupling import COUPLING_KINDS
from mixvae.objectives.likelihoods import Gaussian

K = 5
GONE = [1, 4]
KEPT = [0, 2, 3]


def make(num_agents: int = 3, num_categories: int = K, **options: object) -> CplMixVAE:
    return toys.make_cpl(num_agents, num_categories=num_categories, **options)


spread = partial(toys.spread, factor=30)


def batch(size: int = B, counts: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(size, D, generator=generator)
    raw = torch.randint(9, (size, D), generator=generator).float() if counts else None
    return Batch(x, torch.zeros(size, dtype=torch.int64), torch.arange(size), raw)


@torch.no_grad()
def without(model: CplMixVAE, **options: object) -> CplMixVAE:
    """A model that never had the pruned categories, of the same weights otherwise."""
    small = make(model.num_agents, len(KEPT), **options).double()
    for (name, own), theirs in zip(
        small.agents.named_parameters(), model.agents.parameters(), strict=True
    ):
        axes = {a.parameter: a.axis for a in model.agents.category_axes()}
        axis = axes.get(theirs)
        values = theirs if axis is None else theirs.index_select(axis, torch.tensor(KEPT))
        assert own.shape == values.shape, name
        own.copy_(values)
    return small


@pytest.mark.parametrize("coupling", COUPLING_KINDS)
@pytest.mark.parametrize("double_softmax", [False, True])
def test_a_pruned_model_is_one_that_never_had_the_categories(
    coupling: str, double_softmax: bool, without_noise: None
) -> None:
    options = {"coupling": coupling, "double_softmax": double_softmax, "tau": 0.7}
    data = batch()._replace(x=batch().x.double())
    model = make(**options, **OURS).double()
    spread(model, data.x)
    model.prune(GONE)
    small = without(model, **options, **OURS)

    totals = []
    for one in (model, small):
        torch.manual_seed(3)
        totals.append(one.terms(data).total())
    torch.testing.assert_close(*totals)
    gradients = torch.autograd.grad(totals[0], list(model.agents.parameters()))
    expected = torch.autograd.grad(totals[1], list(small.agents.parameters()))
    axes = {a.parameter: a.axis for a in model.agents.category_axes()}
    for parameter, got, want in zip(model.agents.parameters(), gradients, expected, strict=True):
        axis = axes.get(parameter)
        if axis is not None:
            assert not got.index_select(axis, torch.tensor(GONE)).any()
            got = got.index_select(axis, torch.tensor(KEPT))
        torch.testing.assert_close(got, want)

    model.eval(), small.eval()
    big_step, small_step = model.predict_step(data), small.predict_step(data)
    assert not big_step.posterior.probs[..., GONE].any()
    torch.testing.assert_close(big_step.posterior.probs[..., KEPT], small_step.posterior.probs)
    torch.testing.assert_close(big_step.reconstruction, small_step.reconstruction)
    torch.testing.assert_close(model.settled_loss(big_step), small.settled_loss(small_step))


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("coupling", COUPLING_KINDS)
def test_masked_categories_are_never_drawn_and_everything_is_finite(
    coupling: str, straight_through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(coupling=coupling, straight_through=straight_through, **OURS)
    model.prune(GONE)
    drawn = []
    draw = cpl_mixvae.gumbel_softmax

    def watch(*arguments: object, **options: object) -> torch.Tensor:
        drawn.append(draw(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(cpl_mixvae, "gumbel_softmax", watch)
    optimizer = model.configure_optimizers()
    for _ in range(5):
        loss = model.terms(batch()).total()
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        optimizer.step()
    assert not torch.stack(drawn)[..., GONE].any()
    assert model.infer(batch().x).probs.sum(-1).allclose(torch.tensor(1.0))


def test_nothing_masked_is_bit_for_bit_the_unmasked_computation() -> None:
    model = make(**OURS)
    values = torch.randn(3, B, K)
    assert model.mask_log(values) is values


def test_the_mask_is_in_the_checkpoint_and_counted_when_loaded() -> None:
    model, other = make(), make()
    model.prune([2])
    assert model.num_kept == K - 1
    other.load_state_dict(model.state_dict())
    assert other.num_kept == K - 1
    assert torch.equal(other.infer(batch().x).probs, model.infer(batch().x).probs)
    assert not other.infer(batch().x).probs[..., 2].any()
    assert isinstance(model, MixtureModel)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([1], "category 1 cannot be pruned: it is not a kept one"),
        ([K], f"category {K} cannot be pruned"),
        ([0, 2, 3], "pruning 3 of 4 categories would leave fewer than 2"),
    ],
)
def test_what_cannot_be_pruned_is_refused(categories: list[int], message: str) -> None:
    model = make()
    model.prune([1])
    with pytest.raises(ValueError, match=message):
        model.prune(categories)
    assert model.num_kept == K - 1


def test_alignment_matches_kept_categories_among_kept_ones() -> None:
    model = make()
    with torch.no_grad():
        for parameter in model.agents.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    x = batch(400).x
    spread(model, x)
    model.prune([1])
    renamed = torch.tensor([[0, 1, 2, 3, 4], [2, 1, 0, 4, 3], [4, 1, 3, 2, 0]])
    permute_categories(model.agents.category_axes(), renamed)
    model._trainer = SimpleNamespace(optimizers=[torch.optim.Adam(model.parameters())])
    category = model.infer(x).probs.argmax(-1)
    joint = joint_counts(category, K)
    assert (joint[0, 0].diagonal()[[0, 2, 3, 4]] > 0).all()
    # What is left from before the pruning does not move a masked category.
    joint[:, :, 1, 3] += 10_000

    assert model.align(joint)
    probs = model.infer(x).probs
    for agent in (1, 2):
        torch.testing.assert_close(probs[agent], probs[0])
    assert not probs[..., 1].any()
    assert not model.align(joint_counts(probs.argmax(-1), K))


@pytest.mark.parametrize("likelihood", [NegativeBinomial(), ZeroInflatedNegativeBinomial()])
def test_counts_are_explained_and_normalised_values_are_seen(likelihood: object) -> None:
    seen = []

    def augment(x: torch.Tensor, num_agents: int, *_: object) -> torch.Tensor:
        seen.append(x)
        return x.expand(num_agents, *x.shape)

    model = make(likelihood=likelihood, augmenter=augment)
    model.check(batch(counts=True))
    data = batch(counts=True)
    terms = model.terms(data)
    terms.total().backward()
    assert torch.equal(seen[0], data.x)
    step = model.eval().predict_step(data)
    parameters = model.agents.decode(
        torch.nn.functional.one_hot(step.posterior.probs.argmax(-1), K).float(),
        step.posterior.state_mean,
    )
    assert parameters.shape == (3, B, likelihood.params_per_feature * D)
    torch.testing.assert_close(step.reconstruction, likelihood.nll(parameters, data.counts))
    decoded = model.decode(step.posterior.probs, step.posterior.state_mean)
    assert decoded.shape == (3, B, D)


def test_batches_that_cannot_be_modelled_are_refused() -> None:
    with pytest.raises(ValueError, match=r"raw counts, which the data do not give; set data\.coun"):
        make(likelihood=NegativeBinomial()).check(batch())
    fractions = batch(counts=True)._replace(counts=torch.full((B, D), 0.5))
    with pytest.raises(ValueError, match=r"0\.5"):
        make(likelihood=NegativeBinomial()).check(fractions)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        make().check(batch()._replace(x=torch.full((B, D), 7.0)))
    make(likelihood=Gaussian()).check(batch()._replace(x=torch.full((B, D), 7.0)))
    with pytest.raises(ValueError, match="a training batch holds 1 sample"):
        make().check(batch(1))


def test_the_largest_probability_is_what_two_softmaxes_allow() -> None:
    model = make(double_softmax=True, tau=0.3)
    model.prune([1])
    model.agents.logits = lambda features: torch.tensor([50.0, 0, 0, 0, 0]).expand(3, B, K)
    largest = model.infer(batch().x).probs.max()
    torch.testing.assert_close(largest, torch.tensor(model.largest_probability))
    assert make().largest_probability is None


def test_the_balance_holds_each_weight_beside_one_reconstruction() -> None:
    model = make(coupling_weight=0.6, entropy_weight=0.9, beta=0.7, **OURS)
    balance, terms = model.balance(), model.terms(batch())
    means = terms.means()
    total = sum(
        weight * model.num_agents * model.scale * float(means[name])
        for name, weight in {"reconstruction": 1.0, **balance.weights}.items()
    )
    assert total == pytest.approx(float(terms.total().detach()), rel=1e-4)


def test_a_mixture_is_one_on_every_python() -> None:
    # From Python 3.12 on isinstance looks at what a class or an instance's own dict holds, where
    # buffers are not; so a mixture is a MixtureModel by inheritance.
    assert MixtureModel in CplMixVAE.__mro__
