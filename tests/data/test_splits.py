import pytest
import torch

from mixvae.data.splits import split_indices


@pytest.mark.parametrize("fractions", [[0.1], [0.25, 0.25], [0.5]])
def test_parts_are_disjoint_sorted_and_cover_every_row(fractions):
    parts = split_indices(101, fractions, seed=3)
    assert len(parts) == len(fractions) + 1
    assert torch.cat(parts).sort().values.tolist() == list(range(101))
    for part, fraction in zip(parts, fractions, strict=False):
        assert len(part) == round(101 * fraction)
        assert part.tolist() == sorted(part.tolist())
        assert part.dtype == torch.int64


def test_the_seed_alone_decides():
    torch.manual_seed(1)
    first = split_indices(50, [0.2], seed=0)[0]
    torch.manual_seed(2)
    assert torch.equal(first, split_indices(50, [0.2], seed=0)[0])
    assert not torch.equal(first, split_indices(50, [0.2], seed=1)[0])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_a_fraction_outside_0_1_is_refused(fraction):
    with pytest.raises(ValueError, match=f"is {fraction}; it must lie strictly between 0 and 1"):
        split_indices(10, [fraction], seed=0)


@pytest.mark.parametrize(("n", "fractions"), [(3, [0.1]), (1, [0.5]), (0, [0.5]), (10, [0.5, 0.5])])
def test_an_empty_part_is_refused(n, fractions):
    with pytest.raises(ValueError, match=f"splitting {n} samples .* needs at least one"):
        split_indices(n, fractions, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        split_indices(10, [0.5], seed=-1)
