"""Figures show the given numbers: in the right place, on one scale, under the right name."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mixvae.evaluation.model_order import Round
from mixvae.figures.coherence import accuracy_bars, coherence_heat_map
from mixvae.figures.copies import image_copies
from mixvae.figures.curves import learning_curves, multimodal_learning_curves, training_curves
from mixvae.figures.genes import state_genes
from mixvae.figures.imputations import MAX_MODALITIES, generated, imputations
from mixvae.figures.latents import LatentCloud, latent_planes
from mixvae.figures.model_order import model_order
from mixvae.figures.samples import category_samples, reconstructions, traversal
from mixvae.figures.scatter import MAX_POINTS, state_scatter
from mixvae.figures.style import save_png, styled
from mixvae.figures.tables import category_label_table, consensus_matrix, samples_per_category

RNG = np.random.default_rng(0)
UNIT = (0.0, 1.0)
EPOCHS = [1, 2, 3]


def cell(canvas: np.ndarray, row: int, column: int, size: int = 4) -> np.ndarray:
    """Cut a square image out of a mosaic whose images are one pixel apart."""
    top, left = row * (size + 1), column * (size + 1)
    return canvas[top : top + size, left : left + size]


def shown(figure: Figure, number: int = 0) -> np.ndarray:
    return figure.axes[number].images[0].get_array()


def ticks(figure: Figure, axis: str = "y") -> list[str]:
    return [label.get_text() for label in getattr(figure.axes[0], f"get_{axis}ticklabels")()]


def points_of(axes) -> np.ndarray:
    """Collect the points of a panel, in a fixed order."""
    points = np.concatenate([np.asarray(group.get_offsets()) for group in axes.collections])
    return points[np.lexsort(points.T)]


def drawn(figure: Figure) -> dict[str, dict[str, list[float]]]:
    """Collect the lines of each panel, by title and label."""
    return {
        axes.get_title(loc="left"): {
            line.get_label(): list(line.get_ydata()) for line in axes.get_lines()
        }
        for axes in figure.axes
    }


def test_mosaics_of_images() -> None:
    samples, decoded = RNG.random((3, 1, 4, 4)), RNG.random((2, 3, 1, 4, 4))
    figure = reconstructions(samples, decoded, [3, 3, 0], UNIT)
    for n in range(3):
        np.testing.assert_array_equal(cell(shown(figure), 0, n), samples[n, 0])
        np.testing.assert_array_equal(cell(shown(figure), 2, n), decoded[1, n, 0])
    assert ticks(figure) == ["sample", "agent 0", "agent 1"]
    assert ticks(figure, "x") == ["3", "3", "0"]

    figure = traversal(decoded, np.linspace(-1, 1, 3), [4, 9], state=2, value_range=UNIT)
    np.testing.assert_array_equal(cell(shown(figure), 1, 2), decoded[1, 2, 0])
    assert ticks(figure) == ["4", "9"]

    figure = category_samples([samples, samples[:0], samples[:1]], [0, 1, 2], UNIT)
    np.testing.assert_array_equal(cell(shown(figure), 2, 0), samples[0, 0])
    assert cell(np.ma.getmaskarray(shown(figure)), 1, 0).all()

    figure = image_copies(samples, decoded, UNIT)
    np.testing.assert_array_equal(cell(shown(figure), 1, 2), decoded[0, 2, 0])


def test_three_channels_are_colours_scaled_to_the_unit_interval() -> None:
    colour = 255 * RNG.random((2, 3, 4, 4))
    canvas = shown(category_samples([colour], [0], (0.0, 255.0)))
    np.testing.assert_allclose(cell(canvas, 0, 1), np.moveaxis(colour[1], 0, -1) / 255)
    first, decoded = imputations([colour], [[colour / 2]], ["a"], [""] * 2).axes[:2]
    low, high = np.percentile(np.concatenate([colour, colour / 2]), [1, 99])
    expected = np.clip((colour[0] - low) / (high - low), 0, 1).transpose(1, 2, 0)
    np.testing.assert_allclose(first.images[0].get_array()[:4, :4], expected, rtol=1e-5)
    assert decoded.images[0].get_array()[:4].max() < 0.6  # on the scale of the samples


def test_other_data_are_lines_and_heat_maps() -> None:
    samples, decoded = RNG.random((2, 30)), RNG.random((2, 2, 30))
    (lines, _) = reconstructions(samples, decoded, [0, 1], None).axes
    np.testing.assert_array_equal(
        [line.get_ydata() for line in lines.get_lines()], [samples[0], decoded[0, 0], decoded[1, 0]]
    )
    figure = traversal(decoded, np.linspace(-1, 1, 2), [0, 1], 0, None)
    np.testing.assert_array_equal([shown(figure, n) for n in range(2)], decoded)


def test_features_are_named_below_the_lowest_panel_of_each_column() -> None:
    samples, names = RNG.random((7, 2)), ["a", "b"]
    for figure in (
        reconstructions(samples, samples[None], [0] * 7, None, names),
        category_samples([samples] * 7, list(range(7)), None, names),
    ):
        told = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
        assert told[:7] == [[]] * 4 + [names] * 3


def test_a_saved_picture_is_that_of_matplotlib_without_the_white_around(tmp_path: Path) -> None:
    def used(name: str) -> tuple[np.ndarray, list[int]]:
        pixels = imread(tmp_path / name)[..., :3]
        rows, columns = (np.flatnonzero((pixels != 1).any(axis=(axis, 2))) for axis in (1, 0))
        edges = [rows[0], columns[0], len(pixels) - 1 - rows[-1], pixels.shape[1] - 1 - columns[-1]]
        return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], edges

    samples = [RNG.random((12, 1, 20, 40))] * 2
    save_png(category_samples(samples, [0, 1], UNIT), tmp_path / "ours.png")
    category_samples(samples, [0, 1], UNIT).savefig(tmp_path / "theirs.png")
    ours, edges = used("ours.png")
    theirs, wide = used("theirs.png")
    np.testing.assert_array_equal(ours, theirs)
    assert max(wide) > 20
    assert max(edges) <= 13


def test_a_picture_grows_where_its_title_is_wider(tmp_path: Path) -> None:
    figure = category_samples([np.ones((2, 1, 4, 4))], [0], None)
    width = figure.get_size_inches()[0]
    save_png(figure, tmp_path / "grown.png")
    pixels = imread(tmp_path / "grown.png")[..., :3]
    assert pixels.shape[1] > 1.3 * width * figure.dpi
    assert (pixels[:, [0, -1]] == 1).all(), "nothing is cut off"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-0.02, 0.0, 0.02], ["-0.02", "0.00", "0.02"]),
        ([-0.004, 5.0], ["0.0", "5.0"]),
        ([0.3, 0.3], ["0.30", "0.30"]),
    ],
)
def test_values_of_a_narrow_or_dead_state_are_told_apart(
    values: list[float], expected: list[str]
) -> None:
    images = RNG.random((1, len(values), 1, 4, 4))
    assert ticks(traversal(images, np.array(values), [0], 0, UNIT), "x") == expected


def test_curves_are_the_last_finite_values_of_each_epoch_without_the_test() -> None:
    rows = [
        {"epoch": "0", "step": "4", "val/nmi": "0.1"},
        {"epoch": "0", "step": "9", "val/nmi": "0.2", "train/loss": "5.5"},
        {"epoch": "", "step": "9", "rate": "0.1"},
        {"epoch": "1", "step": "19", "val/nmi": "nan", "train/loss": "4.5", "other": "1"},
        {"epoch": "2", "step": "20", "val/probe": "0.5", "test/probe": "0.4"},
    ]
    assert training_curves(rows) == {"val/nmi": ([1], [0.2]), "train/loss": ([1, 2], [5.5, 4.5])}


def test_learning_curves_stand_in_their_panels() -> None:
    names = ["train/loss", "val/loss", "val/entropy", "val/accuracy", "val/accuracy/agent0"]
    curves = {name: (EPOCHS, [1.0, 2.0, 0.5]) for name in [*names, "train/coupling", "test/nmi"]}
    found = drawn(learning_curves(curves, num_categories=10))
    assert {title: set(lines) for title, lines in found.items()} == {
        "Loss": {"train", "val"},
        "Entropy of q(c|x)": {"val", "log 10"},
        "Consensus vote against labels": {"accuracy"},
        "Other terms, unweighted": {"coupling"},
    }
    assert found["Loss"]["val"] == [1.0, 2.0, 0.5]
    np.testing.assert_allclose(found["Entropy of q(c|x)"]["log 10"], math.log(10))


def test_agents_are_a_band_from_the_least_to_the_largest() -> None:
    values = [[0.2, 0.5, 0.7], [0.4, 0.3, 0.9]]
    curves = {f"val/accuracy/agent{a}": (EPOCHS, values[a]) for a in range(2)}
    curves["val/accuracy"] = (EPOCHS, [0.3, 0.4, 0.8])
    (axes,) = learning_curves(curves, num_categories=10).axes
    (band,) = axes.collections
    points = band.get_paths()[0].vertices
    for epoch, low, high in zip(EPOCHS, [0.2, 0.3, 0.7], [0.4, 0.5, 0.9], strict=True):
        at = points[points[:, 0] == epoch, 1]
        assert (at.min(), at.max()) == (low, high)
    assert band.get_label() == "accuracy of 2 agents"


def test_a_start_far_away_does_not_flatten_the_rest() -> None:
    later = np.linspace(2.0, 1.0, 29)
    curves = {"val/loss": (list(range(1, 31)), [1e8, *later])}
    (axes,) = learning_curves(curves, num_categories=10).axes
    assert axes.get_ylim() == pytest.approx((0.95, 2.05), abs=0.1)


def test_of_many_agents_the_bars_show_the_range() -> None:
    occupancy = RNG.integers(1, 50, size=(9, 5))
    (axes,) = samples_per_category(occupancy).axes
    assert [bar.get_height() for bar in axes.containers[0]] == occupancy[-1].tolist()
    ends = np.array([line[:, 1] for line in axes.collections[0].get_segments()])
    np.testing.assert_array_equal(ends[:, 0], occupancy[:-1].min(axis=0))
    np.testing.assert_array_equal(ends[:, 1], occupancy[:-1].max(axis=0))


def test_multimodal_curves_pair_only_one_quantity() -> None:
    names = [
        "train/loss",
        "val/loss",
        "train/reconstruction",
        "val/objective_reconstruction",
        "val/reconstruction",
        "train/kl",
        "val/kl",
        "train/prior_kl",
        *(f"val/reconstruction/m{m}" for m in range(12)),
    ]
    figure = multimodal_learning_curves({name: (EPOCHS, [9.0, 8.0, 7.0]) for name in names})
    found = drawn(figure)
    assert {
        title: set(lines) for title, lines in found.items() if "each modality" not in title
    } == {
        "Loss": {"train", "val"},
        "Reconstruction in the objective": {"train", "val"},
        "Divergence, unweighted, train": {"kl"},
        "Regulariser before beta, val": {"kl"},
        "Other terms, unweighted": {"prior kl"},
    }
    (many,) = [axes for axes in figure.axes if "each modality" in axes.get_title(loc="left")]
    looks = {(line.get_color(), line.get_linestyle()) for line in many.get_lines()}
    assert len(looks) == len(many.get_lines()) == 12


def test_tables_of_counts_and_consensus() -> None:
    counts = np.array([[30, 10], [0, 0], [0, 5]])
    figure = category_label_table(counts, [2, 0, 1], ["cat", "dog"], accuracy=0.777)
    np.testing.assert_array_equal(shown(figure)[[0, 2]], [[0.75, 0.25], [0.0, 1.0]])
    assert np.ma.getmaskarray(shown(figure))[1].all()
    assert [text.get_text() for text in figure.axes[0].texts] == ["30", "10", "", "", "", "5"]
    assert (ticks(figure), ticks(figure, "x")) == (["2", "0", "1"], ["cat", "dog"])
    matrix = RNG.random((3, 3))
    figure = consensus_matrix(matrix, [0, 4, 7])
    np.testing.assert_array_equal(shown(figure), matrix)
    assert f"{np.diagonal(matrix).mean():.3f}" in figure.axes[0].get_title(loc="left")
    occupancy = RNG.integers(1, 50, size=(3, 5))
    (axes,) = samples_per_category(occupancy).axes
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    np.testing.assert_array_equal(heights, occupancy)
    assert [group.get_label() for group in axes.containers][-1] == "consensus vote"


def test_coherence_and_accuracies() -> None:
    matrix = np.array([[0.9, 0.25], [np.nan, 0.5]])
    figure = coherence_heat_map(matrix, ["left", "right"], 0.25)
    np.testing.assert_array_equal(np.ma.filled(shown(figure), np.nan), matrix)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.90", "0.25", "", "0.50"]
    series = {"probe": [0.5, 0.7], "classifier": [0.9, np.nan]}
    (axes,) = accuracy_bars(series, ["left", "right"], [0.25, 0.5], "samples").axes
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_array_equal(heights, [0.5, 0.7, 0.9, np.nan])
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert middles == pytest.approx([-0.2, 0.8, 0.2, 1.2])


@pytest.mark.parametrize("count", [2, 16])
def test_names_below_the_bars_keep_apart(count: int) -> None:
    names = [f"a_long_name_of_modality_{m}" for m in range(count)]
    figure = accuracy_bars({"probe": [0.5] * count}, names, [0.2] * count, "samples")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(one.x1 < next.x0 for one, next in pairwise(boxes))


def test_draws_stand_beside_their_samples() -> None:
    samples = [np.zeros((3, 4)), np.ones((3, 1, 8, 8))]
    drawn = [[samples[n] + c for c in (1, 2)] for n in range(2)]
    figure = generated(samples, drawn, ["a", "b"], ["from 1 other", "from no event"], ["x"] * 3)
    pictures = [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    assert len(pictures) == 6
    assert [axes.get_title(loc="left") for axes in pictures[1:3]] == [
        "from 1 other",
        "from no event",
    ]
    assert (pictures[2].images[0].get_array() == 2).all()


def test_imputations_share_a_scale_within_a_row() -> None:
    samples = [RNG.normal(size=(4, 6)), RNG.normal(size=(4, 9))]
    samples[1][2] = np.nan
    decoded = [[RNG.normal(size=part.shape) for _ in range(2)] for part in samples]
    figure = imputations(samples, decoded, ["a", "b"], ["x", "x", "y", "y"], "shared latents")
    grid = [axes.images[0] for axes in figure.axes if axes.images]
    for n in range(2):
        row = grid[3 * n : 3 * n + 3]
        for image, expected in zip(row, (samples[n], *decoded[n]), strict=True):
            np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), expected)
        assert len({image.get_clim() for image in row}) == 1
    assert ticks(figure) == ["x", "y"]
    assert "what shared latents decode to" in figure.get_suptitle().replace("\n", " ")
    many = [RNG.normal(size=(2, 3)) for _ in range(9)]
    figure = imputations(many, [many for _ in range(9)], [str(m) for m in range(9)], ["", ""])
    assert figure.get_suptitle().endswith(f"\nthe first {MAX_MODALITIES} of 9 modalities")


def test_latents_stand_in_their_panel_and_in_the_common_one() -> None:
    clouds = [LatentCloud(name, RNG.normal(size=(20, 2)), np.arange(20) % 3) for name in "abj"]
    axes = latent_planes(clouds[:2], ["x", "y", "z"], joint=clouds[2]).axes
    both = np.concatenate([part.mean for part in clouds[:2]])
    for panel, mean in zip(
        axes, [clouds[0].mean, clouds[1].mean, both, clouds[2].mean], strict=True
    ):
        np.testing.assert_allclose(points_of(panel), mean[np.lexsort(mean.T)])
    unknown = clouds[0]._replace(label=np.arange(20) % 3 - 1)
    (legend,) = latent_planes([unknown], ["x", "y"]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["unknown", "x", "y"]


def test_states_are_projected_along_the_axes_of_largest_variance() -> None:
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    state = (RNG.normal(size=(200, 2)) * [5.0, 2.0]) @ rotation[:2]
    (axes,) = state_scatter(state, np.zeros(200, dtype=int), 2).axes
    points = np.asarray(axes.collections[0].get_offsets())
    # Nothing lies outside the plane, so distances survive the projection.
    expected = np.linalg.norm(state[:, None] - state[None], axis=-1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(distance, expected, atol=1e-9)
    state, category = RNG.normal(size=(40, 2)), RNG.choice([0, 3], size=40)
    (axes,) = state_scatter(state, category, num_categories=5).axes
    found = {group.get_label(): np.asarray(group.get_offsets()) for group in axes.collections}
    assert set(found) == {"0", "3"}
    np.testing.assert_array_equal(found["3"], state[category == 3])
    count = 3 * MAX_POINTS + 1
    (axes,) = state_scatter(np.ones((count, 2)), np.zeros(count, dtype=int), 2).axes
    assert MAX_POINTS / 2 < len(points_of(axes)) <= MAX_POINTS


def test_the_leading_genes_of_each_category_stand_on_the_diagonal() -> None:
    change = 0.01 * RNG.normal(size=(3, 30))
    change[0, 5], change[1, 20], change[2, 1] = 2.0, -3.0, 1.0
    figure = state_genes(change, [0, 4, 7], [f"gene{i}" for i in range(30)], per_category=1)
    np.testing.assert_array_equal(shown(figure), change[:, [5, 20, 1]])
    assert (ticks(figure), ticks(figure, "x")) == (["0", "4", "7"], ["gene5", "gene20", "gene1"])


def test_the_model_order_is_drawn_against_k() -> None:
    rounds = [
        Round(0, 20, 12, 0.6, 0.1, 11, 40.0, 0.3, (3,)),
        Round(1, 40, 10, 0.97, 0.93, 10, 43.0, 0.1),
    ]
    figure = model_order(rounds, selected=10, threshold=0.95)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["mean"].get_xydata().tolist() == [[10, 0.97], [12, 0.6]]
    assert set(lines) == {"mean", "least category", "threshold", "selected 10"}
    assert list(figure.axes[1].lines[0].get_ydata()) == [43.0, 40.0]


@pytest.mark.parametrize("style", ["screen", "paper"])
def test_names_with_dollars_are_no_formulas(tmp_path: Path, style: str) -> None:
    with styled(style):
        figure = category_label_table(np.ones((1, 2), dtype=int), [0], [r"$\bad{$", "a"], 1.0)
        save_png(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()
