import numpy as np
import pytest

from experiments.cells_hardness import classifier_accuracy, main, state_correlations
from mixvae.data.cells.expression import log_cpm
from mixvae.data.cells.generator import generate_cells


@pytest.fixture(scope="module")
def cells():
    return generate_cells(num_cells=900, num_genes=150, num_types=3, marker_strength=3.0)


def test_the_classifier_finds_plain_types_and_nothing_in_noise(cells):
    expression = log_cpm(cells.counts).toarray()
    assert classifier_accuracy(expression, cells.type) > 0.98
    shuffled = np.random.default_rng(0).permutation(cells.type)
    assert classifier_accuracy(expression, shuffled) == pytest.approx(1 / 3, abs=0.12)


def test_a_programme_shows_its_state(cells):
    correlations = state_correlations(cells, log_cpm(cells.counts).toarray())
    assert len(correlations) == 3
    assert min(correlations) > 0.9


@pytest.mark.slow
def test_the_shipped_cells_are_as_hard_as_the_documentation_says(capsys):
    main(["--seeds", "0"])
    row = capsys.readouterr().out.splitlines()[-1]
    best, default, classifier, state = (float(cell) for cell in row.split("|")[2:-1])
    assert 0.7 < best < 0.9
    assert default < best
    assert classifier > 0.97
    assert state > 0.9
