"""The closed form of the coupling against the loop over pairs that it replaces."""

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from mixvae.objectives.coupling import (
    COUPLING_KINDS,
    CouplingKind,
    batch_deviation,
    clr,
    coupling,
)

KINDS = pytest.mark.parametrize("kind", COUPLING_KINDS)


def logits_of(num_agents: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(num_agents, 7, 5, generator=generator, dtype=torch.float64)).to(dtype)


def literal(log_q: Tensor, kind: str) -> Tensor:
    """The definition, one scalar at a time."""
    num_agents, batch, num_categories = log_q.shape
    q = log_q.exp()
    rows = []
    for b in range(batch):
        total = log_q.new_zeros(())
        for first, second in combinations(range(num_agents), 2):
            for k in range(num_categories):
                if kind == "jeffreys":
                    p, r = log_q[first, b, k], log_q[second, b, k]
                    total = total + p.exp() * (p - r) + r.exp() * (r - p)
                    continue
                u = []
                for a in (first, second):
                    if kind == "perturbed":
                        spread = (q[a, :, k] - q[a, :, k].mean()).square().mean().sqrt()
                        u.append(log_q[a, b, k] / spread)
                    elif kind == "aitchison":
                        u.append(log_q[a, b, k] - log_q[a, b].mean())
                    else:
                        u.append(q[a, b, k])
                total = total + (u[0] - u[1]) ** 2
        rows.append(total)
    return torch.stack(rows)


@KINDS
@pytest.mark.parametrize("num_agents", [2, 3, 5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_the_loop_over_pairs(
    kind: CouplingKind, num_agents: int, dtype: torch.dtype, tolerance: float
) -> None:
    logits = logits_of(num_agents).requires_grad_()
    weights = torch.linspace(0.5, 2, 7, dtype=torch.float64)
    expected = literal(logits.log_softmax(-1), kind)
    (expected_gradient,) = torch.autograd.grad((weights * expected).sum(), logits)

    ours = logits.detach().to(dtype).requires_grad_()
    value = coupling(ours.log_softmax(-1), kind)
    (gradient,) = torch.autograd.grad((weights.to(dtype) * value).sum(), ours)

    assert value.shape == (7,)
    torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)
    scale = float(expected_gradient.abs().max())
    torch.testing.assert_close(
        gradient.double() / scale, expected_gradient / scale, rtol=tolerance, atol=tolerance
    )


@KINDS
def test_one_agent_costs_exactly_nothing(kind: CouplingKind) -> None:
    logits = logits_of(1, dtype=torch.float32).requires_grad_()
    value = coupling(logits.log_softmax(-1), kind)
    value.sum().backward()
    assert value.eq(0).all()
    assert logits.grad is not None
    assert logits.grad.eq(0).all()


def test_float32_does_not_cancel_when_agents_agree() -> None:
    # Agents that differ by 1e-3 around log-probabilities of size 10.
    generator = torch.Generator().manual_seed(0)
    shared = 10 * torch.randn(1, 64, 120, generator=generator, dtype=torch.float64)
    own = 1e-3 * torch.randn(3, 64, 120, generator=generator, dtype=torch.float64)
    u = (shared + own).float()
    deviation = torch.ones(3, 120)
    exact = sum(
        (u[a].double() - u[b].double()).square().sum(-1) for a, b in ((0, 1), (0, 2), (1, 2))
    )
    ours = coupling(u, "perturbed", deviation)
    uncentred = 3 * u.square().sum((0, -1)) - u.sum(0).square().sum(-1)
    assert ((ours.double() - exact).abs() / exact).max() < 1e-3
    assert ((uncentred.double() - exact).abs() / exact).max() > 1


def test_the_divergence_moves_confident_agents_that_differ_and_not_what_both_exclude() -> None:
    # Two agents of one category, a third of another; both give the last two next to nothing.
    logits = torch.tensor(
        [[[30.0, 0, -5, -40]], [[30.0, 0, -40, -5]], [[0.0, 30, -5, -40]]], requires_grad=True
    )
    slopes = {}
    for kind in ("jeffreys", "euclidean", "perturbed"):
        value = coupling(logits.log_softmax(-1), kind, torch.ones(3, 4))
        (slopes[kind],) = torch.autograd.grad(value.sum(), logits)
    pull = slopes["jeffreys"][2, 0]
    assert pull[0] == pytest.approx(-2, abs=1e-5), "towards the category of the other two"
    assert pull[1] == pytest.approx(2, abs=1e-5)
    assert slopes["jeffreys"][..., 2:].abs().max() < 1e-5
    assert slopes["euclidean"].abs().max() < 1e-5, "a saturated softmax does not move"
    assert slopes["perturbed"][..., 2:].abs().min() > 10


def test_a_given_deviation_is_used() -> None:
    # As under DDP, where the deviation comes from the samples of all ranks.
    log_q = logits_of(3).log_softmax(-1)
    deviation = batch_deviation(log_q.exp())
    parts = [coupling(half, "perturbed", deviation) for half in log_q.split(4, dim=1)]
    torch.testing.assert_close(torch.cat(parts), coupling(log_q, "perturbed"))


def test_the_floor_of_a_confident_agent_is_a_tenth_of_the_flat_probability() -> None:
    # Ten categories, the last one unused, the others in even use.
    q = torch.eye(10, dtype=torch.float64)[torch.arange(90) % 9].unsqueeze(0)
    deviation = batch_deviation(q)
    used = math.sqrt(1 / 9 - 1 / 81)
    assert deviation[0, :9].tolist() == pytest.approx([used] * 9)
    assert deviation[0, 9].item() == pytest.approx(0.1 / math.sqrt(10) * used * 9 / 10)
    assert deviation[0, 9].item() == pytest.approx(0.1 / 10, rel=0.15)
    assert batch_deviation(q[:, :1]).eq(1e-6).all(), "one sample, the same for all"


def along_the_path(scale: float) -> Tensor:
    """log q of two agents whose logits correlate by .9, flat as `scale` tends to 0."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(1, 256, 10, generator=generator, dtype=torch.float64)
    own = torch.randn(2, 256, 10, generator=generator, dtype=torch.float64)
    return (scale * (math.sqrt(0.9) * shared + math.sqrt(0.1) * own)).log_softmax(-1)


def test_a_flat_posterior_is_expensive_and_its_gradient_sharpens_it() -> None:
    scales = torch.tensor([1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001], dtype=torch.float64)
    scales.requires_grad_()
    distances = torch.stack([coupling(along_the_path(s), "perturbed").mean() for s in scales])
    assert distances.diff().gt(0).all(), "the flatter, the dearer"
    (gradient,) = torch.autograd.grad(distances.sum(), scales)
    assert gradient[1:].lt(0).all(), "larger logits lower the distance"


def test_an_unused_category_among_used_ones_costs_far_less_than_without_a_floor() -> None:
    log_q = along_the_path(3)
    unused = (log_q - 200 * torch.eye(10, dtype=torch.float64)[0]).log_softmax(-1)
    used, floored = (coupling(one, "perturbed").mean().item() for one in (log_q, unused))
    public = batch_deviation(unused.exp()).clone()
    public[:, 0] = 1e-8
    assert floored < 1e3 * used
    assert coupling(unused, "perturbed", public).mean() > 1e9 * used


def test_gradient_of_the_coupling_flows_through_the_deviation() -> None:
    logits = logits_of(2).requires_grad_()
    log_q = logits.log_softmax(-1)
    fixed = batch_deviation(log_q.exp()).detach()
    (through,) = torch.autograd.grad(coupling(log_q, "perturbed").sum(), logits, retain_graph=True)
    (past,) = torch.autograd.grad(coupling(log_q, "perturbed", fixed).sum(), logits)
    assert (through - past).abs().max() > 0.1


@KINDS
def test_empty_category_stays_finite(kind: CouplingKind) -> None:
    # Fault 3: nobody uses category 0, whose probability underflows in float32.
    logits = logits_of(2, dtype=torch.float32)
    logits[..., 0] -= 200
    logits.requires_grad_()
    log_q = logits.log_softmax(-1)
    assert log_q.exp()[..., 0].eq(0).all()
    value = coupling(log_q, kind)
    value.sum().backward()
    assert value.isfinite().all()
    assert value.max() < 1e7
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@KINDS
@pytest.mark.parametrize("given", [True, False])
def test_masked_categories_are_left_out(kind: CouplingKind, given: bool) -> None:
    mask = torch.tensor([True, False, True, True, False])
    logits = logits_of(3).requires_grad_()
    log_q = logits.masked_fill(~mask, -torch.inf).log_softmax(-1)
    deviation = batch_deviation(log_q.exp(), mask)
    value = coupling(log_q, kind, deviation, mask if given else None)
    kept = coupling(logits[..., mask].log_softmax(-1), kind, deviation[:, mask])
    torch.testing.assert_close(value, kept)
    coupling(log_q, kind, mask=mask if given else None).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[..., ~mask].eq(0).all()
    assert logits.grad[..., mask].ne(0).any()


@KINDS
def test_a_mask_counts_also_where_probabilities_are_left(kind: CouplingKind) -> None:
    # Whoever masks without renormalising: the masked category still leaves no trace.
    mask = torch.tensor([True, False, True, True, False])
    log_q = logits_of(3).log_softmax(-1).requires_grad_()
    deviation = torch.full((3, 5), 0.2, dtype=torch.float64)
    value = coupling(log_q, kind, deviation, mask)
    torch.testing.assert_close(value, coupling(log_q[..., mask], kind, deviation[:, mask]))
    (gradient,) = torch.autograd.grad(value.sum(), log_q)
    assert gradient[..., ~mask].eq(0).all()


def test_the_floor_is_that_of_the_categories_in_use() -> None:
    mask = torch.tensor([True, False, True, True, False])
    log_q = logits_of(3).mul(1e-3).masked_fill(~mask, -torch.inf).log_softmax(-1)
    value = coupling(log_q, "perturbed", mask=mask)
    torch.testing.assert_close(value, coupling(log_q[..., mask], "perturbed"))


def distance(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Squared Aitchison distance: the coupling of two agents."""
    return coupling(torch.stack([log_p, log_q]), "aitchison")


def test_the_centred_log_ratio_is_that_to_the_geometric_mean() -> None:
    q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    geometric_mean = (0.5 * 0.25 * 0.25) ** (1 / 3)
    expected = [math.log(value / geometric_mean) for value in (0.5, 0.25, 0.25)]
    torch.testing.assert_close(clr(q.log()).tolist(), expected)
    torch.testing.assert_close(clr(q.log() + 3.7), clr(q.log()))
    mask = torch.tensor([True, False, True])
    assert clr(q.log(), mask).tolist() == pytest.approx([math.log(2) / 2, 0, -math.log(2) / 2])


def test_aitchison_equals_the_definition_by_log_ratios_of_pairs() -> None:
    p, q = logits_of(2).log_softmax(-1)
    ratios = [((p[:, i] - p[:, j]) - (q[:, i] - q[:, j])) ** 2 for i in range(5) for j in range(5)]
    torch.testing.assert_close(distance(p, q), sum(ratios) / (2 * 5))


def test_an_underflowing_probability_keeps_its_exact_distance() -> None:
    p = torch.tensor([[0.0, -300.0]]).log_softmax(-1)
    assert p.exp()[0, 1] == 0
    value = distance(p, torch.zeros(1, 2).log_softmax(-1))
    torch.testing.assert_close(value, torch.tensor([2 * 150.0**2]))
