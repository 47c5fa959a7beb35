import numpy as np
import pytest
import torch

from mixvae.contracts import MixturePosterior
from mixvae.evaluation.disentanglement import dci, factor_vae_score, mutual_information_gap
from mixvae.evaluation.disentanglement_scores import DisentanglementScores

N, A, K = 240, 2, 3


@pytest.fixture
def inferred() -> tuple[MixturePosterior, torch.Tensor, torch.Tensor]:
    """Agent 0 knows the factors, agent 1 draws its codes."""
    factors = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(20))
    state = torch.stack([factors[:, 1:].float(), torch.randn(N, 2)])
    category = torch.stack([factors[:, 0], torch.randint(0, K, (N,))])
    probs = 0.7 * torch.eye(K)[category] + 0.1
    return MixturePosterior(probs, state, torch.zeros_like(state)), torch.arange(N), factors


def cut(inferred: tuple, rows: torch.Tensor) -> tuple:
    posterior, index, factors = inferred
    return MixturePosterior(*(part[:, rows] for part in posterior)), index[rows], factors[rows]


def test_scores_are_means_over_agents_of_the_functions(inferred):
    metric = DisentanglementScores()
    metric.update(*inferred)
    values = {name: value.item() for name, value in metric.compute().items()}
    posterior, _, factors = inferred
    states, category = posterior.state_mean.numpy(), posterior.probs.argmax(-1).numpy()
    agents = [(states[a], factors.numpy(), category[a]) for a in range(A)]
    expected = np.mean([dci(*agent) for agent in agents], axis=0)
    assert values == pytest.approx(
        {
            "factor_vae": np.mean([factor_vae_score(*agent) for agent in agents]),
            "mig": np.mean([mutual_information_gap(*agent) for agent in agents]),
            "dci_disentanglement": expected[0],
            "dci_completeness": expected[1],
            "dci_informativeness": expected[2],
            "factor_vae/states": np.mean([factor_vae_score(*agent[:2]) for agent in agents]),
            "mig/states": np.mean([mutual_information_gap(*agent[:2]) for agent in agents]),
        }
    )


def test_batches_their_order_and_repetitions_do_not_matter(inferred):
    whole, parts = DisentanglementScores(max_samples=150), DisentanglementScores(max_samples=150)
    whole.update(*inferred)
    for rows in (*torch.randperm(N).split(37), torch.arange(5)):
        parts.update(*cut(inferred, rows))
    assert parts.compute() == whole.compute()


def test_what_has_nothing_to_measure_has_no_scores(inferred):
    for rows in (torch.arange(1), torch.zeros(5, dtype=torch.int64)):
        metric = DisentanglementScores()
        metric.update(*cut(inferred, rows))
        assert metric.compute() == {}


def test_a_model_without_states_is_measured_by_its_categories(inferred):
    posterior, index, factors = inferred
    metric = DisentanglementScores()
    none = torch.zeros(A, N, 0)
    metric.update(MixturePosterior(posterior.probs, none, none), index, factors)
    values = metric.compute()
    assert not any(name.endswith("states") for name in values)
    assert 0 <= values["mig"] <= 1
