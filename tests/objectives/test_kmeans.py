"""k-means: exact where clusters are far apart, a fixed point, the same for one seed."""

import torch

from mixvae.objectives.kmeans import k_means


def groups(num_groups: int, size: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    centres = 10 * torch.randn(num_groups, 3, generator=generator)
    label = torch.arange(num_groups).repeat(size)
    noise = 0.1 * torch.randn(len(label), 3, generator=generator)
    return centres[label] + noise, label


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_groups_far_apart_are_found_and_centres_are_their_means() -> None:
    x, label = groups(7)
    centres = k_means(x, 7, generator=seeded())
    near = torch.cdist(x, centres).argmin(1)
    for k in range(7):
        assert len(near[label == k].unique()) == 1
        torch.testing.assert_close(centres[near[label == k][0]], x[label == k].mean(0))


def test_it_is_a_function_of_its_generator_and_no_worse_with_more_restarts() -> None:
    x = torch.rand(200, 2)
    assert torch.equal(k_means(x, 9, generator=seeded()), k_means(x, 9, generator=seeded()))
    sums = [
        torch.cdist(x, k_means(x, 9, num_restarts=count, generator=seeded())).amin(1).square().sum()
        for count in (1, 20)
    ]
    assert sums[1] <= sums[0] * 1.01


def test_more_centres_than_different_points_leave_some_without_any() -> None:
    x = torch.tensor([[0.0], [0.0], [0.0], [5.0]])
    centres = k_means(x, 3, generator=seeded())
    assert centres.isfinite().all()
    assert set(centres.flatten().tolist()) == {0.0, 5.0}
