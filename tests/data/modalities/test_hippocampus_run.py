"""Whole runs on rats: from files, and what a checkpoint says of other neurons."""

from pathlib import Path

import numpy as np
import pytest

from mixvae.data.modalities.rat_simulator import simulate_rats
from mixvae.evaluate import main as evaluate
from mixvae.train import main as train

RATS = "[stella, superchris]"


@pytest.mark.slow
def test_a_checkpoint_is_not_used_on_other_neurons(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    simulate_rats("rats", num_trials=60, num_bins=280)
    options = ["trainer.max_epochs=1", "data.batch_size=32", "logger=csv", f"data.rats={RATS}"]
    options += ["data.path=rats", "run_dir=run"]
    assert train(["+experiment=hippocampus_mmvm", *options]) == 0
    assert evaluate(["run=run"]) == 0
    simulate_rats("others", num_trials=60, num_bins=280)
    path = Path("others/Stella/stella_spike_data_binned.npy")
    np.save(path, np.load(path)[:, :40])
    capsys.readouterr()
    assert evaluate(["run=run", "data.path=others"]) == 1
    error = capsys.readouterr().err
    assert "have samples of the shape stella (400,), superchris (460,)" in error
    assert "Traceback" not in error
