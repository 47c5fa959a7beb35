"""Virtual adversarial copies: the right direction, the right length, and nothing touched."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mixvae.objectives.adversarial import neighbour_radius, virtual_adversarial_copy
from mixvae.objectives.divergences import categorical_kl

LogQ = Callable[[Tensor], Tensor]


def linear_model(num_agents: int, dim: int, num_categories: int = 3, seed: int = 0) -> LogQ:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_agents, dim, num_categories, generator=generator, dtype=torch.float64)
    return lambda x: (x.flatten(2) @ weight).log_softmax(-1)


def points(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_direction_is_the_best_on_the_circle() -> None:
    log_q, x, radius = linear_model(2, 2), points(2, 8, 2), 1e-3
    found = virtual_adversarial_copy(
        x, log_q, radius, xi=1e-3, num_power_steps=50, generator=torch.Generator().manual_seed(0)
    )
    angles = torch.linspace(0, 2 * math.pi, 3601, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], -1)
    clean = log_q(x)
    change = torch.stack([categorical_kl(clean, log_q(x + radius * d)) for d in circle])
    best = circle[change.argmax(0)]
    # The divergence is even in d to second order: a direction and its opposite are as good.
    cosine = ((found - x) / radius * best).sum(-1).abs()
    assert cosine.min() > 0.999
    torch.testing.assert_close(
        categorical_kl(clean, log_q(found)), change.amax(0), rtol=0.01, atol=0
    )


def test_one_far_probe_beats_random_directions() -> None:
    log_q, x = linear_model(1, 20, 5), points(1, 64, 20)
    generator = torch.Generator().manual_seed(0)
    found = virtual_adversarial_copy(x, log_q, 0.5, xi=10.0, generator=generator)
    clean = log_q(x)
    noise = points(1, 64, 20, seed=2)
    random = x + 0.5 * noise / noise.norm(dim=-1, keepdim=True)
    gain = categorical_kl(clean, log_q(found)).mean() / categorical_kl(clean, log_q(random)).mean()
    assert gain > 3


def test_length_is_the_radius() -> None:
    log_q, x = linear_model(2, 12), points(2, 5, 3, 2, 2)
    generator = torch.Generator().manual_seed(0)
    for radius in (
        torch.linspace(0, 2, 5, dtype=torch.float64),
        torch.rand(2, 5, generator=generator, dtype=torch.float64),
        0.7,
    ):
        copy = virtual_adversarial_copy(x, log_q, radius, generator=generator)
        length = (copy - x).flatten(2).norm(dim=-1)
        torch.testing.assert_close(length, torch.as_tensor(radius).double().expand(2, 5))
        assert copy.shape == x.shape


def test_each_agent_and_sample_has_its_own_direction() -> None:
    x = points(1, 4, 6).expand(3, 4, 6)
    generator = torch.Generator().manual_seed(0)
    copy = virtual_adversarial_copy(x, linear_model(3, 6, 8), 1.0, xi=1.0, generator=generator)
    directions = (copy - x).reshape(12, 6)
    apart = torch.cdist(directions, directions).fill_diagonal_(torch.inf)
    assert apart.min() > 0.05


def test_an_agent_does_not_depend_on_the_others() -> None:
    x, log_q = points(2, 4, 6), linear_model(2, 6)
    other = linear_model(2, 6, seed=9)

    def changed(copies: Tensor) -> Tensor:
        return torch.cat([log_q(copies)[:1], other(copies)[1:]])

    first, second = (
        virtual_adversarial_copy(x, f, 1.0, generator=torch.Generator().manual_seed(0))
        for f in (log_q, changed)
    )
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_no_gradient_leaks() -> None:
    net = nn.Linear(6, 3)
    calls = 0

    def log_q(copies: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return net(copies).log_softmax(-1)

    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    radius = torch.ones(4, requires_grad=True)
    copy = virtual_adversarial_copy(x, log_q, radius, num_power_steps=2)
    assert calls == 3
    assert not copy.requires_grad
    assert all(tensor.grad is None for tensor in (x, radius, *net.parameters()))
    virtual_adversarial_copy(x, log_q, radius, log_q_clean=log_q(x))
    assert calls == 5


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(context: Callable[[], torch.no_grad]) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))

    def copies() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        fresh = x.clone()  # an inference tensor where the context makes such
        return virtual_adversarial_copy(
            fresh,
            lambda z: net(z).log_softmax(-1),
            neighbour_radius(fresh[0], 0.5, 1),
            generator=generator,
        )

    expected = copies()
    with context():
        assert torch.equal(copies(), expected)


def test_zero_gradient_keeps_a_direction_of_unit_length() -> None:
    x = points(2, 4, 6).float()
    copy = virtual_adversarial_copy(x, lambda z: (0 * z[..., :3]).log_softmax(-1), 0.5)
    assert copy.isfinite().all()
    torch.testing.assert_close((copy - x).norm(dim=-1), torch.full((2, 4), 0.5))


def test_tiny_gradient_does_not_underflow() -> None:
    x = points(1, 4, 6).float()
    log_q = linear_model(1, 6)
    tiny = virtual_adversarial_copy(
        x,
        lambda z: log_q(1e-12 * z.double()).float(),
        1.0,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close((tiny - x).norm(dim=-1), torch.ones(1, 4))


def test_neighbour_radius_equals_sorting() -> None:
    x = points(40, 2, 3)
    for k in (1, 10, 39):
        expected = [
            sorted(float((x[i] - x[j]).norm()) for j in range(40) if j != i)[k - 1]
            for i in range(40)
        ]
        torch.testing.assert_close(
            neighbour_radius(x, 0.25, k), 0.25 * torch.tensor(expected, dtype=torch.float64)
        )


@pytest.mark.parametrize("offset", [0.0, 100.0, 1000.0])
def test_neighbour_radius_does_not_depend_on_where_the_data_lie(offset: float) -> None:
    x = (points(200, 10) + offset).float()
    radius = neighbour_radius(x, 1.0, 10)
    torch.testing.assert_close(
        radius.double(), neighbour_radius(x.double() - offset, 1.0, 10), rtol=1e-4, atol=0
    )


def test_neighbour_radius_in_small_batches() -> None:
    x = torch.tensor([[0.0], [3.0], [7.0]], requires_grad=True)
    radius = neighbour_radius(x, 1.0, 10)
    assert radius.tolist() == [7.0, 4.0, 7.0]
    assert not radius.requires_grad
    assert neighbour_radius(x[:1], 1.0, 10).tolist() == [0.0]
