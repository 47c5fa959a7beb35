"""CplMixVAE: the objective against a literal loop, switched-off parts, alignment, inference."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional
from toys import OURS, B, D, K, batch, spread
from toys import make_cpl as make

from mixvae.augmenters.noise import Noise
from mixvae.contracts import Batch, MixtureModel
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.networks.axes import permute_categories
from mixvae.objectives.likelihoods import Bernoulli, half_null_deviance
from mixvae.objectives.schedules import Linear


class Fixed(torch.nn.Module):
    """An augmenter whose copies are known."""

    def __init__(self, copies: torch.Tensor) -> None:
        super().__init__()
        self.copies = copies

    def forward(self, *_: object, **__: object) -> torch.Tensor:
        return self.copies


def entropy(q: torch.Tensor) -> torch.Tensor:
    return -(q * q.log()).sum(-1)


def literal_loss(
    model: CplMixVAE, x: torch.Tensor, copies: torch.Tensor, near: torch.Tensor, ours: dict
) -> torch.Tensor:
    """The class's formula, agent by agent and pair by pair."""
    num_agents = model.num_agents
    q = model.log_q(x).exp()
    q_copies = model.log_q(copies).exp()
    q_near = model.log_q(near).exp()
    features = model.agents.features(copies)
    mean, logvar = model.agents.state(features, q_copies)
    logits = model.agents.decode(q_copies, mean)
    loss = torch.zeros((), dtype=x.dtype)
    for a in range(num_agents):
        p = logits[a].sigmoid()
        nll = -(copies[a] * p.log() + (1 - copies[a]) * (1 - p).log()).sum(-1)
        kl = 0.5 * (mean[a] ** 2 + logvar[a].exp() - 1 - logvar[a]).sum(-1)
        one = nll + model.beta(0) * kl - model.entropy_weight(0) * entropy(q_copies[a])
        fixed = q[a].detach()
        stable = (q[a] * (q[a] / q_copies[a]).log()).sum(-1)
        one = one + ours["consistency_weight"] * stable
        adversarial = (fixed * (fixed / q_near[a]).log()).sum(-1)
        one = one + ours["adversarial_weight"] * adversarial
        marginal = ours["marginal_weight"] * entropy(q[a].mean(0))
        information = marginal - entropy(q[a]).mean()
        loss = loss + max(num_agents - 1, 1) * (
            one.mean() - ours["information_weight"] * information
        )
    for a in range(num_agents):
        for b in range(a + 1, num_agents):
            u = [q_copies[i].log() / q_copies[i].std(0, correction=0) for i in (a, b)]
            loss = loss + model.coupling_weight(0) * (u[0] - u[1]).square().sum(-1).mean()
    return loss


@pytest.mark.parametrize("num_agents", [1, 2, 3])
@pytest.mark.parametrize("weights", [{}, OURS])
def test_objective_equals_the_literal_loop_with_its_gradient(
    num_agents: int, weights: dict, without_noise: None
) -> None:
    model = make(num_agents, beta=0.7, coupling_weight=0.3, entropy_weight=0.9, **weights).double()
    x = batch().x.double()
    spread(model, x)
    copies = (x + 0.1 * torch.randn(num_agents, B, D).double()).clamp(0, 1)
    near = x + 0.1 * torch.randn(num_agents, B, D).double()
    model.augmenter = Fixed(copies)
    model.adversary = Fixed(near)
    ours = dict.fromkeys(OURS, 0.0) | {k: v for k, v in weights.items() if k != "adversary"}

    total = model.terms(Batch(x, *batch()[1:])).total()
    expected = literal_loss(model, x, copies, near, ours)

    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    for got, want in zip(
        torch.autograd.grad(total, model.parameters()),
        torch.autograd.grad(expected, model.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


def test_copies_out_of_range_are_explained_as_the_nearest_that_can_be(without_noise: None) -> None:
    model, x = make(2), batch().x
    spread(model, x)
    model.augmenter = Noise(1.0)
    torch.manual_seed(3)
    copies = model.augmenter(x, 2, model.log_q)
    assert (copies < 0).any()
    assert (copies > 1).any()
    torch.manual_seed(3)
    nll = model.terms(batch())["reconstruction"].value
    features = model.agents.features(copies)  # of the copies as they are
    category = model.log_categories(features).exp()
    state, _ = model.agents.state(features, category)
    expected = Bernoulli().nll(model.agents.decode(category, state), copies.clamp(0, 1))
    torch.testing.assert_close(nll, expected)


def test_without_coupling_no_agent_has_a_gradient_in_another() -> None:
    model = make(3, coupling_weight=0.0, **OURS)
    terms = model.terms(batch())
    first = sum(
        terms[name].value[0].sum()
        for name in ("reconstruction", "kl", "consistency", "adversarial", "information")
    )
    first.backward()
    for parameter in model.parameters():
        assert parameter.grad[0].abs().sum() >= 0
        assert torch.equal(parameter.grad[1:], torch.zeros_like(parameter.grad[1:]))
    assert model.agents.category_head.weight.grad[0].abs().sum() > 0


def test_coupling_pulls_every_agent() -> None:
    model = make(3)
    model.terms(batch())["coupling"].value.sum().backward()
    assert (model.agents.category_head.weight.grad.flatten(1).abs().sum(1) > 0).all()


def test_parts_of_weight_zero_are_not_computed() -> None:
    def fail(*_: object, **__: object) -> torch.Tensor:
        raise AssertionError("asked for though its weight is 0")

    model = make(2)
    model.adversary = fail
    terms = model.terms(batch())
    assert {"consistency", "adversarial", "information"}.isdisjoint(terms.means())
    passes = []
    model.agents.encoder.register_forward_hook(lambda *_: passes.append(1))
    model.terms(batch())
    assert len(passes) == 1


def test_weights_follow_their_schedules() -> None:
    model = make(2, beta=Linear(0.0, 2.0, length=4), coupling_weight=0.0, entropy_weight=0.0)
    model._trainer = SimpleNamespace(
        num_training_batches=10, current_epoch=1, world_size=1, optimizers=[]
    )
    model._num_batches = 5
    assert model.epoch == 1.5
    torch.manual_seed(0)
    terms = model.terms(batch())
    expected = terms["reconstruction"].loss() + 0.75 * terms["kl"].loss()
    torch.testing.assert_close(terms.total(), expected)


def test_double_softmax_and_automatic_tau() -> None:
    logits = torch.randn(2, B, K)
    model = make(2, double_softmax=True)
    model.agents.logits = lambda features: logits
    assert model.tau == 1 / K
    expected = functional.softmax(logits.softmax(-1) * K, dim=-1)
    torch.testing.assert_close(model.log_q(batch().x).exp(), expected)

    model = make(2, tau=0.5)
    model.agents.logits = lambda features: logits
    torch.testing.assert_close(model.log_q(batch().x).exp(), (2 * logits).softmax(-1))
    assert make(2).tau == 1.0


def test_alignment_gives_agents_that_differ_in_names_only_the_same_names() -> None:
    model = make(3, align_epochs=[0])
    agents = model.agents
    permutations = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0], [3, 1, 0, 2]])
    with torch.no_grad():
        for parameter in agents.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    spread(model, batch(200).x)
    # A batch that fills all categories fills the counts.
    permute_categories(agents.category_axes(), permutations)
    model.terms(batch(200))
    before = model.infer(batch().x)
    assert (model.joint_counts[0, 0].diagonal() > 0).all()
    assert not torch.equal(before.probs[0].argmax(-1), before.probs[1].argmax(-1))
    decoded = model.decode(before.probs, before.state_mean)
    reduce = SimpleNamespace(reduce=lambda counts, reduce_op: counts)
    model._trainer = SimpleNamespace(
        strategy=reduce,
        optimizers=[torch.optim.Adam(model.parameters())],
        current_epoch=0,
        num_training_batches=1,
    )
    model.on_train_epoch_start()

    after = model.infer(batch().x)
    for agent in (1, 2):
        torch.testing.assert_close(after.probs[agent], after.probs[0])
    torch.testing.assert_close(model.decode(after.probs, after.state_mean), decoded)
    assert not model.joint_counts.any()


@pytest.mark.parametrize(("best", "source"), [(1, [1, 1, 1, 1, 1]), (3, [3, 1, 2, 3, 1])])
def test_agents_go_on_from_the_best(
    best: int, source: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    model = make(5, align_epochs=[1], best_agents=best, **OURS)
    whole = batch(200)
    terms = [model.terms(whole) for _ in range(2)]
    expected = sum(one["information"].value for one in terms)
    torch.testing.assert_close(model.informations, expected.detach())
    # Best to worst: 1, 3, 2, 4, 0.
    model.informations.copy_(torch.tensor([1.0, 5.0, 3.0, 4.0, 2.0]))
    before, counts = model.log_q(whole.x), model.joint_counts.clone()
    model._trainer = SimpleNamespace(
        optimizers=[torch.optim.Adam(model.parameters())], current_epoch=1, num_training_batches=1
    )
    model.align = lambda joint: torch.testing.assert_close(joint, counts[source][:, source])
    with caplog.at_level(logging.INFO, logger="mixvae"):
        model.on_train_epoch_start()
    said = "1" if best == 1 else "1, 2, 3"
    assert f"go on from the best by information: {said} of 5" in caplog.text
    torch.testing.assert_close(model.log_q(whole.x), before[source])
    assert not model.informations.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**OURS, "align_epochs": []}, r"align_epochs, which must be at least 1, got \[\]"),
        ({**OURS, "align_epochs": [0, 3]}, r"must be at least 1, got \[0, 3\]"),
        ({**OURS, "align_epochs": [2], "best_agents": 0}, "must be at least 1, or null, got 0"),
        ({"align_epochs": [2]}, "by their information term, whose weight is 0 before epoch 2"),
    ],
)
def test_agents_that_cannot_be_compared_are_not_replaced(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(2, **{"best_agents": 1, **options})
    assert make(2, **{**options, "best_agents": 2}).best_agents is None  # all go on


def test_inference_is_deterministic_and_each_sample_stands_alone() -> None:
    model = make(2, augmenter=Noise(1.0)).eval()
    assert isinstance(model, MixtureModel)
    whole, again, part = (model.predict_step(b) for b in (batch(), batch(), batch(B)))
    for one, two in zip(whole.posterior, again.posterior, strict=True):
        assert torch.equal(one, two)
    half = model.infer(batch().x[:5])
    torch.testing.assert_close(half.probs, part.posterior.probs[:, :5])
    assert torch.equal(whole.reconstruction, again.reconstruction)
    assert whole.reconstruction.shape == whole.kl.shape == (2, B)


@pytest.mark.parametrize("num_agents", [1, 3])
def test_what_is_logged_is_one_agents_bound_and_its_share_of_the_objective(num_agents: int) -> None:
    model = make(num_agents, information_weight=50.0, coupling_weight=7.0).eval()
    spread(model, batch().x)
    with torch.no_grad():
        step = model.predict_step(batch())
        losses = model.losses(model.settled_loss(step), model.settled_terms(step).means())
    q = step.posterior.probs
    to_prior = (q * (q * K).log()).nan_to_num().sum(-1)  # KL to the uniform prior
    bound = (step.reconstruction + step.kl + to_prior).mean()
    torch.testing.assert_close(losses["loss"], bound)
    pairs = num_agents * max(num_agents - 1, 1)
    torch.testing.assert_close(losses["objective"] * pairs, model.settled_loss(step).detach())


def test_a_model_is_settled_when_its_last_schedule_is() -> None:
    assert make().settled_epoch == 0
    late = make(beta=Linear(0, 1, begin=2, length=3), temperature=Linear(1, 0.5, length=4))
    assert late.settled_epoch == 5


def test_weights_in_the_unit_of_the_data_are_those_numbers_of_nats() -> None:
    x = batch(64)
    chosen = make(weight_unit="auto", coupling_weight=0.3, **OURS)
    chosen.choose([x], [x], 10)
    unit = chosen.choices["model.weight_unit"]["weight_unit"]
    assert (
        unit == chosen.weight_unit == pytest.approx(half_null_deviance(Bernoulli(), x.x), abs=1e-3)
    )
    weights = ("consistency_weight", "adversarial_weight", "information_weight")
    ours = {name: unit * OURS[name] for name in weights}
    plain = make(coupling_weight=0.3 * unit, **{**OURS, **ours})
    assert chosen.weights(0) == pytest.approx(plain.weights(0))
    # A resumed or opened run has it from the checkpoint, in every precision.
    opened = make(weight_unit="auto", coupling_weight=0.3, **OURS).half()
    opened.load_state_dict(chosen.state_dict())
    assert opened.weights(0) == chosen.weights(0)
