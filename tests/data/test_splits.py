import numpy as np
import pytest
import torch

from mixvae.data.splits import split_indices, stratified_indices


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


@pytest.mark.parametrize(("n", "fractions"), [(3, [0.1]), (1, [0.5]), (0, [0.5]), (10, [0.5, 0.5])])
def test_an_empty_part_is_refused(n, fractions):
    with pytest.raises(ValueError, match=f"splitting {n} samples .* needs at least one"):
        split_indices(n, fractions, seed=0)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_stratified_parts_are_disjoint_and_share_out_every_class(fraction):
    classes = np.repeat([0, 1, 2], [40, 10, 2])
    part, rest = stratified_indices(classes, "abc", fraction, seed=0)
    assert torch.cat([part, rest]).sort().values.tolist() == list(range(52))
    for rows in (part, rest):
        assert set(classes[rows]) == {0, 1, 2}
        assert rows.tolist() == sorted(rows.tolist())
    assert (classes[part] == 0).sum() == round(fraction * 40)


def test_stratified_parts_are_a_function_of_the_seed():
    classes = np.repeat([0, 1], 50)
    first, again, other = (stratified_indices(classes, "ab", 0.5, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rows_without_a_class_may_be_few_and_are_shared_out():
    part, rest = stratified_indices(np.array([0, 0, 0, -1]), "a", 0.4, seed=0)
    assert len(part) + len(rest) == 4
    part, _ = stratified_indices(np.repeat([0, -1], [4, 100]), "a", 0.25, seed=0)
    assert len(part) == 26


def test_a_class_of_too_few_rows_is_refused_by_name():
    with pytest.raises(ValueError, match="class 'b' has 1 of 4 samples; each needs at least 2"):
        stratified_indices(np.array([0, 0, 0, 1]), "ab", 0.5, seed=0)
    with pytest.raises(ValueError, match="1 samples are too few to split; 2"):
        stratified_indices(np.array([0]), ["all cells"], 0.5, seed=0)
