"""Every sample is drawn where its latent is, in its modality's panel and in the common one."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.latents import MAX_POINTS, LatentCloud, latent_planes

RNG = np.random.default_rng(0)


def cloud(name: str, size: int, dims: int = 2, classes: int = 3) -> LatentCloud:
    return LatentCloud(name, RNG.normal(size=(size, dims)), RNG.integers(0, classes, size))


def points_of(axes) -> np.ndarray:
    parts = [np.asarray(group.get_offsets()) for group in axes.collections]
    found = np.concatenate([part for part in parts if len(part)])
    return found[np.lexsort(found.T)]


def ordered(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T)]


def test_panels_hold_the_latents_and_the_last_one_all() -> None:
    clouds = [cloud("a", 20), cloud("b", 30)]
    figure = latent_planes(clouds, ["x", "y", "z"])
    figure.draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "a",
        "b",
        "all modalities together",
    ]
    for axes, part in zip(figure.axes, clouds, strict=False):
        np.testing.assert_allclose(points_of(axes), ordered(part.mean))
    both = np.concatenate([part.mean for part in clouds])
    np.testing.assert_allclose(points_of(figure.axes[2]), ordered(both))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["x", "y", "z"]


def test_many_classes_are_named_within_the_figure() -> None:
    figure = latent_planes([cloud("a" * 60, 900, classes=30)], [f"class {k}" for k in range(30)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    extent = legend.get_window_extent()
    assert len(legend.get_texts()) == 30
    assert extent.y0 >= 0
    assert extent.x1 <= figure.bbox.x1
    assert max(map(len, figure.axes[0].get_title(loc="left").split("\n"))) <= 34


def test_a_joint_posterior_has_a_panel_and_is_no_modality() -> None:
    clouds, joint = [cloud("a", 20), cloud("b", 30)], cloud("joint", 25)
    figure = latent_planes(clouds, ["x", "y", "z"], joint)
    assert len(figure.axes) == 4
    assert len(points_of(figure.axes[2])) == 50
    np.testing.assert_allclose(points_of(figure.axes[3]), ordered(joint.mean))


def test_more_dimensions_share_their_principal_axes_and_say_so() -> None:
    figure = latent_planes([cloud("a", 40, 5), cloud("b", 40, 5)], [])
    labels = {axes.get_xlabel() for axes in figure.axes}
    assert len(labels) == 1
    assert labels.pop().startswith("principal axis 0 of the latents (")


def test_one_dimension_unknown_labels_and_many_points() -> None:
    unlabelled = LatentCloud("a", RNG.normal(size=(2 * MAX_POINTS, 1)), np.full(2 * MAX_POINTS, -1))
    figure = latent_planes([unlabelled], [])
    assert not figure.legends
    assert len(points_of(figure.axes[0])) == MAX_POINTS
    assert figure.axes[0].get_ylabel() == "order in the data"
    mixed = unlabelled._replace(label=np.arange(2 * MAX_POINTS) % 3 - 1)
    (legend,) = latent_planes([mixed], ["x", "y"]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["unknown", "x", "y"]


def test_many_classes_have_no_legend() -> None:
    assert not latent_planes([cloud("a", 400, classes=60)], []).legends


@pytest.mark.parametrize("size", [1, 5])
def test_few_points_are_drawn(size: int) -> None:
    assert len(points_of(latent_planes([cloud("a", size)], []).axes[0])) == size
