"""Copies beside samples: panels, sizes, colours."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.copies import copy_plane, image_copies


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_images_stand_above_their_copies(channels: int) -> None:
    samples = np.zeros((5, channels, 4, 6), dtype=np.float32)
    copies = np.ones((3, 5, channels, 4, 6), dtype=np.float32)
    figure = image_copies(samples, copies, (0.0, 1.0))
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    assert shown.shape[:2] == (4 * 5, 5 * 7)
    assert shown[:4, :6].max() == 0
    assert shown[5:].min() == 1
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["sample", "copy 1"]


def test_each_copy_is_tied_to_its_sample() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(30, 8))
    copies = samples[:4] + 0.1 * generator.normal(size=(3, 4, 8))
    (axes,) = copy_plane(samples, copies).axes
    assert len(axes.lines) == 12
    assert "principal" in axes.get_xlabel()
    lengths = [np.ptp(line.get_xdata()) for line in axes.lines]
    assert max(lengths) < np.ptp(axes.collections[0].get_offsets()[:, 0])
