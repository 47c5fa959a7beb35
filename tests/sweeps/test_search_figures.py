from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from mixvae.sweeps.search_record import study_figures

SPACE: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "size": FloatDistribution(1.0, 1.0),
    "kind": CategoricalDistribution((None, True, "a" * 80)),
}


@pytest.mark.parametrize("num_trials", [1, 5])
@pytest.mark.parametrize("num_settings", [1, 3])
def test_a_study_is_drawn_without_a_warning(num_trials: int, num_settings: int) -> None:
    study = optuna.create_study()
    space = dict(list(SPACE.items())[:num_settings])
    values = {"lr": 1e-3, "size": 1.0, "kind": None}
    trial = {"params": {key: values[key] for key in space}, "distributions": space}
    study.add_trials([create_trial(value=float(n), **trial) for n in range(num_trials)])
    study.add_trial(create_trial(state=TrialState.FAIL, **trial))
    before = dict(plt.rcParams)
    figures = study_figures(study, "val/loss")
    assert list(figures) == ["history", "settings"]
    for figure in figures.values():
        figure.canvas.draw()
    # Optuna's global style and figures do not stay.
    assert dict(plt.rcParams) == before
    assert not plt.get_fignums()
