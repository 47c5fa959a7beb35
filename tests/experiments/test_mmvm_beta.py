"""Every setting composes; the table sets the default beside the best of the grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from experiments.mmvm_beta import ARRAYS, SETTINGS, make_arrays, overrides, row
from experiments.multiruns import Run, as_job
from mixvae.sweeps.tables import JobRecord
from tests.composed import composed


@pytest.mark.parametrize("setting", ["other_sizes", "noisy", "long_windows", "arrays_m2"])
def test_a_setting_composes(setting: str, tmp_path: Path) -> None:
    job = as_job(overrides(setting, "auto", 0, tmp_path))
    cfg = composed(list(job))
    assert cfg.model.beta == "auto"
    if setting not in ARRAYS:
        instantiate(cfg.data.simulator)


def test_there_are_eight_kinds_of_rats_and_arrays_of_several_scales() -> None:
    assert len(SETTINGS) - len(ARRAYS) >= 8
    assert {scale for _, scale in ARRAYS.values()} == {1e-3, 1.0, 1e3}


def test_arrays_have_a_modality_each_of_the_scale(tmp_path: Path) -> None:
    for scale in (1.0, 1e3):
        make_arrays(tmp_path / str(scale), 3, scale, events=50)
    one, large = (np.load(tmp_path / name / "m2.npy") for name in ("1.0", "1000.0"))
    assert len(one) == 50
    assert np.allclose(large, 1000 * one)


def test_the_default_stands_beside_the_best_of_the_grid(tmp_path: Path) -> None:
    def run(name: str, probe: float, coherence: float) -> Run:
        (tmp_path / name).mkdir()
        choice = {"choices": {"model.beta": {"beta": 0.25}}}
        (tmp_path / name / "summary.json").write_text(json.dumps(choice))
        metrics = {"test/probe_accuracy": probe, "test/coherence": coherence}
        return Run(tmp_path / name, JobRecord(name, [], "finished", metrics=metrics))

    runs = {
        ("slow", "auto", "0"): run("a", 0.7, 0.6),
        ("slow", "0.1", "0"): run("b", 0.72, 0.5),
        ("slow", "0.4", "0"): run("c", 0.6, 0.61),
    }
    expected = ["slow", "1", "0.25", "0.700", "0.720 (0.1)", "-0.020"]
    assert row("slow", runs) == [*expected, "0.600", "0.610 (0.4)", "-0.010"]
    assert row("fast", runs) == ["fast", "missing"]
