"""The grid shows samples of n in row n, and what m decodes to in column m + 1."""

from __future__ import annotations

import re

import numpy as np

from mixvae.figures.imputations import MAX_MODALITIES, imputations

RNG = np.random.default_rng(0)


def test_vectors_are_rows_of_heat_maps() -> None:
    samples = [RNG.normal(size=(4, 6)), RNG.normal(size=(4, 9))]
    samples[1][2] = np.nan
    decoded = [[RNG.normal(size=part.shape) for _ in range(2)] for part in samples]
    figure = imputations(samples, decoded, ["a", "b"], ["x", "x", "y", "y"])
    figure.draw_without_rendering()
    grid = [axes for axes in figure.axes if axes.images]
    for n in range(2):
        shown = [grid[3 * n + column].images[0] for column in range(3)]
        for image, expected in zip(shown, (samples[n], *decoded[n]), strict=True):
            np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), expected)
        # One scale for a row, so that samples and reconstructions compare.
        assert len({image.get_clim() for image in shown}) == 1
    assert [axes.get_title(loc="left") for axes in grid[:3]] == ["samples", "from a", "from b"]
    assert [label.get_text() for label in grid[0].get_yticklabels()] == ["x", "y"]


def test_images_stand_in_a_grid_row_by_row() -> None:
    grey, colour = RNG.uniform(size=(3, 1, 4, 5)), RNG.uniform(size=(3, 3, 4, 5)).round()
    colour[1] = np.nan
    decoded = [[grey, grey], [colour, colour]]
    figure = imputations([grey, colour], decoded, ["a", "b"], ["", "", ""])
    figure.draw_without_rendering()
    first, second = figure.axes[0].images[0], figure.axes[3].images[0]
    shown = np.ma.filled(first.get_array(), np.nan)
    np.testing.assert_array_equal(shown[:4, :5], grey[0, 0])
    np.testing.assert_array_equal(shown[:4, 5:], grey[1, 0])
    np.testing.assert_array_equal(shown[4:, :5], grey[2, 0])
    assert np.isnan(shown[4:, 5:]).all()
    assert second.get_array().shape == (8, 10, 3)
    np.testing.assert_array_equal(second.get_array()[:4, :5], colour[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(second.get_array()[:4, 5:], 1.0)


def test_colours_of_any_range_are_drawn_from_dark_to_light() -> None:
    colour = RNG.integers(0, 256, size=(4, 3, 4, 5)).astype(np.float32)
    figure = imputations([colour], [[colour / 2]], ["a"], [""] * 4)
    shown, decoded = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert 0.4 < shown[:4].mean() < 0.6  # and not white
    low, high = np.percentile(np.concatenate([colour, colour / 2]), [1, 99])
    expected = np.clip((colour[0] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(shown[:4, :5], expected.transpose(1, 2, 0), rtol=1e-5)
    assert decoded[:4].max() < 0.6  # on the scale of the samples


def test_long_names_are_broken_and_lose_no_letter() -> None:
    names = ["a_very_long_name_of_the_modality_number_1", "x" * 50]
    samples = [RNG.normal(size=(2, 3)) for _ in names]
    figure = imputations(samples, [samples, samples], names, ["", ""])
    grid = [axes for axes in figure.axes if axes.images]
    titles = [axes.get_title(loc="left") for axes in grid[1:3]]
    rows = [grid[0].get_ylabel(), grid[3].get_ylabel()]
    assert max(len(line) for text in [*titles, *rows] for line in text.split("\n")) <= 22
    assert [text.replace("\n", "") for text in rows] == names
    assert [re.sub(r"^from\s", "", text).replace("\n", "") for text in titles] == names


def test_of_many_classes_as_many_are_named_as_can_be_read() -> None:
    samples = [RNG.normal(size=(90, 3))]
    events = [f"class {number // 3}" for number in range(90)]
    figure = imputations(samples, [samples], ["a"], events)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"class {number}" for number in range(0, 30, 3)]
    assert figure.axes[0].get_yticks()[1] == 10


def test_only_the_first_of_many_modalities_are_drawn_and_the_title_says_so() -> None:
    samples = [RNG.normal(size=(2, 3)) for _ in range(9)]
    decoded = [[part for _ in range(9)] for part in samples]
    figure = imputations(samples, decoded, [str(m) for m in range(9)], ["", ""])
    assert len([axes for axes in figure.axes if axes.images]) == MAX_MODALITIES * 7
    assert figure.get_suptitle().endswith("\nthe first 6 of 9 modalities")


def test_the_title_says_which_latents_are_decoded() -> None:
    samples = [np.ones((2, 3))]
    for latents in ("latents", "shared latents"):
        title = imputations(samples, [samples], ["a"], ["", ""], latents).get_suptitle()
        assert f"what {latents} decode to" in title.replace("\n", " ")


def test_a_modality_that_is_missing_throughout_is_drawn_empty() -> None:
    samples = [np.full((2, 3), np.nan)]
    imputations(samples, [samples], ["a"], ["", ""]).draw_without_rendering()
