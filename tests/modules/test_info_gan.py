"""InfoGAN: which term trains which parameters, what it draws, what evaluation decodes."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import toys
from toys import D, K, S, agents_of, batch, parts_reached

from mixvae.modules.info_gan import InfoGAN
from mixvae.networks.agents import Agents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.gan import HeadedEncoder
from mixvae.objectives.likelihoods import Bernoulli, Gaussian

PARTS = {
    "trunk": ("agents.encoder",),
    "verdict": ("verdict",),
    "generator": (
        "agents.decoder",
        "agents.code_from_category",
        "agents.code_from_state",
        "code_from_noise",
    ),
    "category head": ("agents.category_head",),
    "state head": ("agents.state_from_features",),
}
TRAINED_BY = {
    "discriminator": {"trunk", "verdict"},
    "adversarial": {"generator"},
    "category_information": {"generator", "trunk", "category head"},
    "state_information": {"generator", "trunk", "state head"},
}


def make(batch_norm: str = "before", **options: object) -> InfoGAN:
    arguments = {
        "agents": agents_of(batch_norm, batch_norm),
        "likelihood": Gaussian(),
        "noise_dim": 3,
    }
    return toys.make(InfoGAN, **{**arguments, **options})


@pytest.mark.parametrize("batch_norm", ["none", "before"])
@pytest.mark.parametrize(("name", "parts"), TRAINED_BY.items())
def test_each_term_trains_its_own_parameters_and_no_others(
    name: str, parts: set[str], batch_norm: str
) -> None:
    model = make(batch_norm)
    assert parts_reached(model, PARTS, model.terms(batch())[name].loss()) == parts


def test_a_layer_of_q_alone_is_trained_by_information_alone() -> None:
    image = (1, 8, 8)
    networks = partial(
        Agents,
        encoder=partial(
            HeadedEncoder,
            trunk=partial(ConvEncoder, channels=(3, 4), features=8, batch_norm=True, slope=0.01),
            features=5,
        ),
        decoder=partial(ConvDecoder, channels=(4, 3), features=8, batch_norm=True),
    )
    model = make(agents=networks, shape=image)
    parts = {
        **PARTS,
        "trunk": ("agents.encoder.trunk",),
        "q": ("agents.encoder.head",),
    }
    x = batch()._replace(x=torch.rand(16, *image))
    for name, reached in TRAINED_BY.items():
        own = {"q"} if name.endswith("information") else set()
        assert parts_reached(model, parts, model.terms(x)[name].loss()) == reached | own
    before = {key: value.clone() for key, value in model.named_buffers() if "running" in key}
    model.terms(x)
    moved = {
        key
        for key, value in model.named_buffers()
        if not torch.equal(value, before.get(key, value))
    }
    assert moved == set(before)


def test_the_generator_has_a_rate_of_its_own() -> None:
    model = make(generator_rate=5.0)
    others, generator = model.configure_optimizers().param_groups
    assert (others["initial_lr"], generator["initial_lr"]) == (1e-2, 5e-2)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    made_by = {names[id(parameter)] for parameter in generator["params"]}
    assert made_by == {name for name in names.values() if name.startswith(PARTS["generator"])}
    assert len(made_by) + len(others["params"]) == len(names)


def test_the_discriminator_sees_a_difference_in_scale_alone() -> None:
    # Normalised apart, samples and ten times as large ones would look the same.
    model, x = make(), batch().x
    model.likelihood = SimpleNamespace(mean=lambda _: (10 * x - 9 * x.mean(0))[None])
    judge = [*model.agents.encoder.parameters(), *model.verdict.parameters()]
    optimizer = torch.optim.Adam(judge, lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.terms(batch())["discriminator"].loss()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7


def test_codes_are_drawn_from_their_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    model.prune([1])
    drawn: list[tuple[torch.Tensor, ...]] = []
    make_of = model.parameters_of
    monkeypatch.setattr(
        model, "parameters_of", lambda *codes: drawn.append(codes) or make_of(*codes)
    )
    loss = model.terms(batch(2000)).total()
    category, state, noise = drawn[0]
    share = category[0].mean(0)
    assert torch.equal(category.sum(-1), torch.ones(1, 2000))
    assert share[1] == 0
    assert share[[0, 2, 3]].sub(1 / 3).abs().max() < 0.05
    for code in (state, noise):
        assert code.mean().abs() < 0.1
        assert code.std().item() == pytest.approx(1, abs=0.05)
        assert code.min() < -2
    assert loss.isfinite()


def test_evaluation_averages_over_the_same_noise_and_draws_nothing() -> None:
    model = make().eval()
    state = torch.get_rng_state()
    first, second = model.predict_step(batch()), model.predict_step(batch())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.reconstruction, second.reconstruction)
    category = torch.eye(K)[None]
    states = torch.randn(1, K, S)
    literal = torch.stack(
        [
            model.parameters_of(category, states, noise.expand(1, K, -1))
            for noise in model.fixed_noise
        ]
    ).mean(0)
    torch.testing.assert_close(model.decode(category, states), model.likelihood.mean(literal))
    assert "fixed_noise" in model.state_dict()
    other = make(likelihood=Bernoulli()).eval()
    decoded = other.decode(category, states)
    assert decoded.min() > 0
    assert decoded.max() < 1


def test_the_settled_loss_is_reconstruction_and_kl() -> None:
    model = make().eval()
    step = model.predict_step(batch())
    torch.testing.assert_close(model.settled_loss(step), (step.reconstruction + step.kl).mean())


def test_noise_on_what_is_judged_follows_its_schedule() -> None:
    model = make(input_noise=0.3)
    x = torch.zeros(1, 4000, D)
    assert model._disturb(x).std().item() == pytest.approx(0.3, abs=0.02)
    assert make()._disturb(x) is x


@pytest.mark.parametrize(("state_dim", "noise_dim"), [(0, 3), (S, 0), (0, 0)])
def test_it_does_without_state_or_noise(state_dim: int, noise_dim: int) -> None:
    model = make(state_dim=state_dim, noise_dim=noise_dim)
    model.terms(batch()).total().backward()
    step = model.eval().predict_step(batch())
    assert step.reconstruction.isfinite().all()
