"""augmenter_types: its judgement on cells whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.augmenter_types import Cells, judges, kept, relative_distance


def cells(seed: int, count: int = 90) -> Cells:
    """Three well separated types in 30 dimensions."""
    generator = np.random.default_rng(seed)
    type_ = np.arange(count) % 3
    centres = 20 * np.eye(3, 30)
    return Cells((centres[type_] + generator.normal(size=(count, 30))).astype(np.float32), type_)


@pytest.mark.parametrize("space", ["PCA", "LDA"])
def test_copies_of_the_right_type_are_told_from_those_of_another(space: str) -> None:
    judge, held_out = judges(cells(0))[space], cells(1)
    assert kept(judge, held_out.x, held_out.type) == (1.0, 1.0)
    moved = np.roll(held_out.x, 1, axis=0)  # each cell in the place of one of another type
    assert kept(judge, moved, held_out.type) == (0.0, 0.0)


def test_a_distance_is_relative_to_the_nearest_labelled_cell() -> None:
    judge, held_out = judges(cells(0))["PCA"], cells(1)
    assert relative_distance(judge, held_out.x, held_out.x, held_out.x) == 0
    nearest, _ = judge.neighbours(held_out.x, 1)
    assert (
        relative_distance(judge, held_out.x + 1000, held_out.x, held_out.x) > 1000 / nearest.max()
    )
