"""The largest resident memory of each experiment: a run of its own, from start to test."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.measured_process import measure
from mixvae.cli.schema import conf_dir

EPOCHS, BATCHES = 2, 20  # memory no longer grows after that, see tests/test_memory.py
# Without files of their own there is nothing to run these on.
NEED_FILES = ("multimodal_mmvm",)
# Where the data of an experiment are drawn or made instead.
STAND_INS = {"dsprites": ("data=dsprites_rendered",)}
# What must end within the training does.
SHORT_SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "joint_vae": ("model.state_capacity_epochs=1", "model.category_capacity_epochs=1"),
    "cascade_vae": ("model.dimension_epochs=0.1",),
    "vade": ("model.pretrain_epochs=1", "model.layerwise_epochs=0"),
}
PRUNING = ("callbacks.pruning.round_epochs=1", "callbacks.pruning.max_rounds=1")


def experiments() -> list[str]:
    """Every experiment that needs no files of the user."""
    names = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
    return [name for name in names if name not in NEED_FILES]


def shortened(experiment: str) -> list[str]:
    """Overrides that make an experiment short and leave its sizes unchanged."""
    data, method = experiment.split("_", maxsplit=1)
    text = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text()
    found = [f"trainer.max_epochs={EPOCHS}", f"trainer.limit_train_batches={BATCHES}"]
    found += STAND_INS.get(data, ())
    found += SHORT_SCHEDULES.get(method.removesuffix("_paper"), ())
    return found + list(PRUNING if "override /callbacks: pruning" in text else ())


def rows() -> Iterator[dict[str, Any]]:
    """A row for each experiment; one without data prints a message and is left out."""
    for experiment in experiments():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "mixvae.train", f"+experiment={experiment}"]
            command += [*shortened(experiment), "num_threads=1", "logger=csv"]
            command += [f"run_dir={Path(folder) / 'run'}", "trainer.enable_progress_bar=false"]
            try:
                found = measure(command)
            except RuntimeError as error:
                print(f"{experiment}: not measured: {error}", file=sys.stderr)
                continue
        quantities = {"GiB": found.gib, "CPU seconds": found.processor}
        yield {"group": "footprint", "case": experiment, "seconds": quantities}
