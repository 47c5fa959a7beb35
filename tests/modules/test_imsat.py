"""IMSAT: its terms are those of cpl-mixVAE with one agent; it decodes nothing and says so."""

from __future__ import annotations

import pytest
import torch
from toys import SHARED, B, D, K, agents_of, batch

from mixvae.augmenters.noise import Identity
from mixvae.contracts import MixtureModel
from mixvae.evaluation.mixture import MixtureEvaluation
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.modules.imsat import IMSAT
from mixvae.objectives.likelihoods import Gaussian
from mixvae.objectives.schedules import Linear


class Shift:
    """Copies, of an augmenter or an adversary, that are known."""

    def __init__(self, length: float) -> None:
        self.length = length

    def __call__(self, x: torch.Tensor, num_agents: int, *_: object, **__: object) -> torch.Tensor:
        return x.expand(num_agents, *x.shape) + self.length


def make(**options: object) -> IMSAT:
    torch.manual_seed(0)
    copies = {"augmenter": Shift(0.2), "adversary": Shift(-0.1)}
    return IMSAT(**{**SHARED, **copies, **options})


def test_its_terms_are_those_of_cpl_mixvae_with_one_agent() -> None:
    weights = {"consistency_weight": 3.0, "adversarial_weight": 2.0, "information_weight": 1.5}
    model = make(**weights)
    torch.manual_seed(0)
    general = CplMixVAE(
        **SHARED,
        augmenter=Shift(0.2),
        adversary=Shift(-0.1),
        likelihood=Gaussian(),
        num_agents=1,
        state_dim=0,
        **weights,
    )
    own, others = model.terms(batch()), general.terms(batch())
    for name in ("consistency", "adversarial", "information"):
        torch.testing.assert_close(own[name].value, others[name].value)
        assert own[name].weight == others[name].weight
    assert len(own) == 3


def test_the_sample_is_taken_as_given_where_copies_are_compared_with_it() -> None:
    model = make(information_weight=0.0, adversarial_weight=0.0)
    copies = (batch().x[None] + 0.2).requires_grad_()
    model.augmenter = lambda *_: copies
    x = batch().x.requires_grad_()
    model.terms(batch()._replace(x=x)).total().backward()
    assert copies.grad.any()
    assert x.grad is None or not x.grad.any()


@pytest.mark.parametrize("name", ["consistency", "adversarial"])
def test_a_weight_of_0_leaves_a_part_out(name: str) -> None:
    model = make(**{f"{name}_weight": 0.0})
    assert name not in model.terms(batch())
    assert model.terms(batch()).total().isfinite()


def test_running_statistics_follow_the_samples_alone() -> None:
    agents = agents_of(encoder_norm="before")
    model, alone = make(agents=agents), make(agents=agents)
    model.terms(batch())
    alone.log_q(batch().x)
    for own, other in zip(model.buffers(), alone.buffers(), strict=True):
        assert torch.equal(own, other)


def test_it_has_no_decoder_and_says_so() -> None:
    model = make()
    assert isinstance(model, MixtureModel)
    assert not model.can_decode
    parts = {name.split(".")[1] for name in model.state_dict() if name.startswith("agents.")}
    assert parts == {"encoder", "category_head"}
    assert len(model.agents.category_axes()) == 2
    with pytest.raises(ValueError, match="has no decoder"):
        model.decode(torch.zeros(1, B, K), torch.zeros(1, B, 0))
    step = model.predict_step(batch())
    assert step.reconstruction is None
    assert step.kl is None
    assert step.posterior.state_mean.shape == (1, B, 0)
    metric = MixtureEvaluation(1, K, 2, can_decode=False)
    metric.update(step, batch().label)
    values = metric.compute()
    assert {"accuracy", "entropy", "populated_categories"} <= set(values)
    assert not {"reconstruction", "kl"} & set(values)
    torch.testing.assert_close(
        model.settled_loss(step),
        model.terms(batch())["information"].loss() * -0.1,
    )


def test_schedules_are_functions_of_the_epoch() -> None:
    model = make(information_weight=Linear(0.0, 1.0, length=2.0))
    assert model.terms(batch())["information"].weight == 0
    step = model.predict_step(batch())
    torch.testing.assert_close(
        model.settled_loss(step), -model.terms(batch())["information"].loss()
    )


def test_what_is_not_finite_is_refused_before_training() -> None:
    make(augmenter=Identity()).check(batch())
    with pytest.raises(ValueError, match="finite"):
        make().check(batch()._replace(x=torch.full((B, D), float("nan"))))
