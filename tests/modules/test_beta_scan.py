"""Beta from the data: scale, shared and private directions, every model, what a run keeps."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
from test_multimodal import MODELS, batch, make
from toys import EVENTS
from toys import events as events_of

from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.modules import MMVM
from mixvae.modules.beta_scan import RELATIVE, choose_beta
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import Bernoulli, Gaussian, Likelihood, SquaredError
from mixvae.objectives.modality_likelihoods import Laplace, Poisson

NETWORKS = partial(
    ModalityNetworks,
    encoder=partial(ModalityEncoder, hidden=(4,)),
    decoder=partial(ModalityDecoder, hidden=(4,)),
)


def pair(scale: float = 1.0, shared: float = 1.0, seed: int = 0) -> MultimodalBatch:
    """Two modalities of 3 features: one direction in common, and a stronger one of each alone."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(600, 1, generator=generator)
    x = []
    for _ in range(2):
        private = 2 * torch.randn(600, 1, generator=generator)
        noise = 0.1 * torch.randn(600, 1, generator=generator)
        x.append(scale * torch.cat([shared * common, private, noise], dim=1))
    return events_of(*x)


def model(**options: object) -> MMVM:
    torch.manual_seed(0)
    specs = [ModalitySpec(name, (3,)) for name in "ab"]
    given = {**EVENTS, "modalities": specs, "networks": NETWORKS, "latent_dim": 1, **options}
    return MMVM(**{"likelihood": SquaredError(), "beta": "auto", **given})


def test_beta_gives_up_what_is_private_and_keeps_what_is_shared() -> None:
    choice = choose_beta(model(), [pair()], [pair(seed=1)])
    gains = dict(zip(choice.candidates, choice.gains, strict=True))
    assert gains[choice.beta] > 0.6 * max(choice.gains) > 0.02
    assert choice.gains[0] < 0.5 * max(choice.gains)  # the private direction, at a small beta
    assert choice.candidates[0] < choice.beta < choice.candidates[-1]
    assert f"{choice.candidates[0]:.3g} to {choice.candidates[-1]:.3g}" in choice.reason


def test_beta_follows_the_scale_of_the_data() -> None:
    small, large = (
        choose_beta(model(), [pair(scale)], [pair(scale, seed=1)], 60) for scale in (1e-3, 1e3)
    )
    assert large.beta == pytest.approx(1e12 * small.beta, rel=1e-3)


@pytest.mark.slow
def test_beta_is_small_where_nothing_is_private() -> None:
    """A larger one would give up the second, weaker direction in common."""
    generator = torch.Generator().manual_seed(0)

    def events() -> MultimodalBatch:
        both = torch.randn(600, 2, generator=generator) * torch.tensor([1.0, 0.4])
        noise = 0.1 * torch.randn(2, 600, 3, generator=generator)
        x = tuple(torch.cat([both, both[:, :1]], dim=1) + one for one in noise)
        return pair()._replace(x=x)

    choice = choose_beta(model(latent_dim=2), [events()], [events()])
    unit = choice.candidates[0] / RELATIVE[0]
    # The second direction has a tenth of the variance of the first, and is noisier.
    assert choice.beta <= unit / 16


@pytest.mark.slow
def test_without_anything_shared_a_rule_of_thumb_is_taken_and_said() -> None:
    choice = choose_beta(model(), [pair(shared=0.0)], [pair(shared=0.0, seed=1)])
    unit = choice.candidates[0] / RELATIVE[0]
    assert choice.beta == pytest.approx(unit / 64)
    assert "1/64 of the largest variance" in choice.reason
    assert "none of" in choice.reason


def test_the_choice_is_repeatable_and_leaves_model_and_random_state_alone() -> None:
    one = model()
    before = [value.clone() for value in one.state_dict().values()]
    state = torch.get_rng_state()
    first = choose_beta(one, [pair()], [pair(seed=1)], 20)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, before, one.state_dict().values()))
    torch.manual_seed(5)
    assert choose_beta(one, [pair()], [pair(seed=1)], 20) == first


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ae"])
def test_every_model_chooses_also_where_modalities_are_missing(name: str) -> None:
    present = torch.ones(60, len(EVENTS["modalities"]), dtype=torch.bool)
    present[::3, 0] = False
    data = [batch(present, size=60)]
    one = make(name, beta="auto")
    one.choose(data, data, 5)
    assert one.beta(0.0) == one.choices["model.beta"]["beta"] > 0
    assert one.settled_loss(one.predict_step(data[0]), present).isfinite()


def test_a_constant_modality_leaves_beta_at_one() -> None:
    still = pair()._replace(x=(torch.ones(600, 3), torch.ones(600, 3)))
    assert choose_beta(model(), [still], [still]).beta == 1.0


def test_what_was_chosen_is_saved_and_said(caplog: pytest.LogCaptureFixture) -> None:
    one, other = model(), model()
    with caplog.at_level(logging.INFO, logger="mixvae"):
        one.choose([pair()], [pair(seed=1)], 20)
    assert f"model.beta: auto is {one.beta(0.0):g}: " in caplog.text
    other.load_state_dict(one.state_dict())
    assert other.beta == one.beta
    assert other.half().beta == one.beta
    assert "chosen_beta" not in model(beta=0.3).state_dict()


@pytest.mark.parametrize("family", [SquaredError(), Gaussian(0.3), Poisson(), Bernoulli()])
def test_the_noise_variance_is_what_a_step_of_the_mean_costs(family: Likelihood) -> None:
    x = torch.tensor([[0.0], [1.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    start = {Poisson: torch.log, Bernoulli: torch.logit}.get(type(family), lambda mean: mean)
    mean, step = x.mean(dim=0), 1e-4

    def cost(at: torch.Tensor) -> torch.Tensor:
        return family.nll(start(at).expand(1, 5, 1), x[None]).mean()

    curvature = (cost(mean + step) - 2 * cost(mean) + cost(mean - step)) / step**2
    assert float(1 / curvature) == pytest.approx(float(family.noise_variance(x)), rel=1e-3)


def test_laplace_counts_as_the_normal_of_its_curvature() -> None:
    x = torch.distributions.Laplace(0.0, 0.5).sample((200_000, 1))
    # At zero, the density of the data is 1 / (2 * 0.5), and the expected curvature twice that / b.
    assert float(Laplace(0.75).noise_variance(x)) == pytest.approx(0.75 * 0.5, rel=0.02)
