"""The scatter shows each sample where its state is."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.scatter import MAX_POINTS, state_scatter

RNG = np.random.default_rng(0)


def points_of(figure) -> dict[str, np.ndarray]:
    (axes,) = figure.axes
    figure.draw_without_rendering()
    return {group.get_label(): np.asarray(group.get_offsets()) for group in axes.collections}


def test_two_states_are_the_plane_and_empty_categories_are_left_out() -> None:
    state, category = RNG.normal(size=(40, 2)), RNG.choice([0, 3], size=40)
    points = points_of(state_scatter(state, category, num_categories=5))
    assert set(points) == {"0", "3"}
    for k in (0, 3):
        np.testing.assert_array_equal(points[str(k)], state[category == k])


def test_more_states_are_seen_along_the_axes_of_largest_variance() -> None:
    plane = RNG.normal(size=(200, 2)) * [5.0, 2.0]
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    state = plane @ rotation[:2]
    figure = state_scatter(state, np.zeros(200, dtype=int), 2)
    points = points_of(figure)["0"]
    # Nothing lies outside the plane, so distances survive the projection.
    expected = np.linalg.norm(state[:, None] - state[None], axis=-1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(distance, expected, atol=1e-9)
    variance = np.linalg.svd(state - state.mean(0), compute_uv=False) ** 2
    share = f"{variance[0] / variance.sum():.0%} of the variance"
    assert share in figure.axes[0].get_xlabel()


def test_one_state_is_drawn_and_none_is_refused() -> None:
    state = RNG.normal(size=(10, 1))
    points = points_of(state_scatter(state, np.zeros(10, dtype=int), 2))["0"]
    np.testing.assert_array_equal(points[:, :1], state)
    with pytest.raises(ValueError, match="state_dim 0"):
        state_scatter(np.empty((10, 0)), np.zeros(10, dtype=int), 2)


def test_many_samples_are_thinned_and_equal_states_are_finite() -> None:
    count = 3 * MAX_POINTS + 1
    points = points_of(state_scatter(np.ones((count, 4)), np.zeros(count, dtype=int), 2))["0"]
    assert MAX_POINTS / 2 < len(points) <= MAX_POINTS
    assert np.isfinite(points).all()
