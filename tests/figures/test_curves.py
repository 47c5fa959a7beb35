"""Learning curves hold the given values, in the panels where one looks for them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixvae.figures.curves import learning_curves, multimodal_learning_curves, training_curves

EPOCHS = [1, 2, 3]
CURVES = {
    "train/loss": (EPOCHS, [9.0, 8.0, 7.0]),
    "val/loss": (EPOCHS, [9.5, 8.5, 8.0]),
    "val/entropy": (EPOCHS, [2.2, 1.0, 0.5]),
    "val/accuracy": (EPOCHS, [0.2, 0.4, 0.9]),
    "train/coupling": (EPOCHS, [900.0, 9.0, 0.0]),
    "train/information": (EPOCHS, [-1.0, 3.0, 4.0]),
    "val/accuracy/agent0": (EPOCHS, [0.1, 0.2, 0.3]),
    "test/accuracy": ([3], [0.9]),
}


def test_curves_are_the_last_finite_values_of_each_epoch_without_the_test() -> None:
    rows = [
        {"epoch": "0", "step": "4", "val/nmi": "0.1"},
        {"epoch": "0", "step": "9", "val/nmi": "0.2", "train/loss": "5.5"},
        {"epoch": "", "step": "9", "rate": "0.1"},
        {"epoch": "1", "step": "19", "val/nmi": "nan", "train/loss": "4.5", "other": "1"},
        {"epoch": "2", "step": "20", "val/probe": "0.5", "test/probe": "0.4"},
    ]
    assert training_curves(rows) == {"val/nmi": ([1], [0.2]), "train/loss": ([1, 2], [5.5, 4.5])}


def lines(figure) -> dict[str, dict[str, np.ndarray]]:
    """Collect what each panel draws, by title and label."""
    return {
        axes.get_title(loc="left"): {
            line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()
        }
        for axes in figure.axes
    }


def test_each_panel_draws_its_metrics() -> None:
    drawn = lines(learning_curves(CURVES, num_categories=10))
    assert {title: set(names) for title, names in drawn.items()} == {
        "Objective": {"train", "val"},
        "Entropy of q(c|x)": {"val", "log 10"},
        "Consensus vote against labels": {"accuracy"},
        "Other terms, unweighted": {"coupling", "information"},
    }
    values = np.column_stack(CURVES["val/loss"])
    np.testing.assert_array_equal(drawn["Objective"]["val"], values)
    values = np.column_stack(CURVES["train/coupling"])
    np.testing.assert_array_equal(drawn["Other terms, unweighted"]["coupling"], values)
    level = drawn["Entropy of q(c|x)"]["log 10"][:, 1]
    np.testing.assert_allclose(level, math.log(10))


def test_curves_of_different_lengths_and_a_single_epoch_are_drawn() -> None:
    figure = learning_curves({"val/kl": ([4], [1.5]), "train/kl": ([3, 4], [2.0, 1.0])}, 2)
    drawn = lines(figure)["KL of the states to N(0, I)"]
    np.testing.assert_array_equal(drawn["val"], [[4, 1.5]])
    assert len(drawn["train"]) == 2
    figure.draw_without_rendering()


def test_no_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="no learning curve to draw: got \\['test/nmi'\\]"):
        learning_curves({"test/nmi": ([1], [0.5])}, 10)


def test_a_multimodal_run_has_panels_of_its_own() -> None:
    curves = {
        "train/loss": (EPOCHS, [9.0, 8.0, 7.0]),
        "val/loss": (EPOCHS, [9.5, 8.5, 8.0]),
        "train/reconstruction": (EPOCHS, [7.0, 6.0, 5.5]),
        "val/objective_reconstruction": (EPOCHS, [7.5, 6.5, 6.0]),
        "val/reconstruction": (EPOCHS, [9.0, 8.0, 7.5]),
        "val/reconstruction/left": (EPOCHS, [5.0, 4.0, 3.5]),
        "val/reconstruction/right": (EPOCHS, [4.0, 4.0, 4.0]),
        "val/imputation": (EPOCHS, [6.0, 5.0, 5.0]),
        "train/kl": (EPOCHS, [2.0, 2.0, 1.5]),
        "val/kl": (EPOCHS, [3.0, 3.0, 2.5]),
        "train/prior_kl": (EPOCHS, [6.0, 5.0, 5.0]),
    }
    figure = multimodal_learning_curves(curves)
    drawn = lines(figure)
    # What is not the same quantity of both splits is not drawn as a pair.
    assert {title: set(names) for title, names in drawn.items()} == {
        "Objective": {"train", "val"},
        "Reconstruction in the objective": {"train", "val"},
        "Reconstruction of each modality, val": {"left", "right"},
        "Imputation of one from another, val": {"imputation"},
        "Divergence, unweighted, train": {"kl"},
        "Regulariser before beta, val": {"kl"},
        "Other terms, unweighted": {"prior kl"},
    }
    values = np.column_stack(curves["val/objective_reconstruction"])
    np.testing.assert_array_equal(drawn["Reconstruction in the objective"]["val"], values)
    units = {axes.get_title(loc="left"): axes.get_ylabel() for axes in figure.axes}
    assert units["Other terms, unweighted"] == "nats per event"
    assert units["Reconstruction of each modality, val"] == "nats per sample"
    with pytest.raises(ValueError, match="no learning curve to draw"):
        multimodal_learning_curves({"test/loss": ([3], [1.0])})


def test_no_two_of_many_modalities_look_alike() -> None:
    curves = {f"val/reconstruction/m{m}": (EPOCHS, [9.0, 8.0 + m, 7.0]) for m in range(12)}
    (axes,) = multimodal_learning_curves(curves).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(looks) == len(axes.get_lines()) == 12
