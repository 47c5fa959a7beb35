"""Measures the CPU time of a training by phase: `python -m experiments.phases FILE WORDS ...`.

Trains as `python -m mixvae.train WORDS ...` and writes the CPU seconds of each phase to FILE as
JSON. A phase's time is its own: what an inner phase takes is counted there. Functions are wrapped
when their module has been imported, so that the run imports what it would import anyway.
"""

from __future__ import annotations

import importlib
import importlib._bootstrap as bootstrap  # type: ignore[import-not-found]
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

REST = "the rest"
IMPORTS = "imports"
# Functions of a module, or of a class in it, by the phase that they are.
PHASES = {
    "mixvae.cli.compose:compose_jobs": "compose",
    "mixvae.runs.training:build": "model and trainer",
    "mixvae.data.base:AbstractResidentDataModule.setup": "data",
    "mixvae.modules.beta_scan:choose_beta": "beta scan",
    "lightning.pytorch.loops.training_epoch_loop:_TrainingEpochLoop.advance": "steps",
    "lightning.pytorch.loops.evaluation_loop:_EvaluationLoop.run": "validation and test",
    "lightning.pytorch:Trainer.save_checkpoint": "checkpoints",
    "mixvae.callbacks.figures:Figures._draw": "figures",
    "mixvae.callbacks.multimodal_figures:MultimodalFigures._draw": "figures",
    "mixvae.callbacks.pictures:save_pictures": "figures",
    "mixvae.callbacks.multimodal_generation:Generation.measure": "generation",
    "mixvae.engine.csv_logger:CsvLogger.log_metrics": "loggers",
    "mixvae.engine.wandb_logger:WandbRun.log_metrics": "loggers",
    "mixvae.engine.wandb_logger:WandbRun.finish": "loggers",
    "mixvae.engine.wandb_logger:WandbRun.log_hyperparams": "loggers",
    "mixvae.runs.recording:describe_provenance": "provenance",
    "mixvae.runs.recording:imported_versions": "provenance",
    "mixvae.runs.fitting:_write_report": "report",
}
NAMES = (IMPORTS, *dict.fromkeys(PHASES.values()), REST)


class Phases:
    """CPU seconds by phase; the innermost phase that runs gets the time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.running = [REST]
        self.since = 0.0  # the process's own start counts

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self.running[-1]] += now - self.since
        self.since = now

    def timed(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """Return the function, whose time is the phase's."""

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            self._turn()
            self.running.append(phase)
            try:
                return function(*arguments, **options)
            finally:
                self._turn()
                self.running.pop()

        return timed

    def watch(self) -> None:
        """Wrap importing, and each function when its module has been imported."""
        waiting = dict(PHASES)
        found = bootstrap._find_and_load

        def loaded(name: str, *rest: Any) -> Any:
            module = found(name, *rest)
            for path in [path for path in waiting if path.startswith(f"{name}:")]:
                self._wrap(module, path.partition(":")[2], waiting.pop(path))
            return module

        bootstrap._find_and_load = self.timed(loaded, IMPORTS)

    def _wrap(self, module: Any, path: str, phase: str) -> None:
        *owners, name = path.split(".")
        for owner in owners:
            module = getattr(module, owner)
        setattr(module, name, self.timed(getattr(module, name), phase))

    def write(self, file: Path) -> None:
        """Write what each phase took so far."""
        self._turn()
        file.write_text(json.dumps({name: self.seconds[name] for name in NAMES}))


def main() -> None:
    """Train, and write the phases before the process ends."""
    file, *words = sys.argv[1:]
    phases = Phases()
    phases.watch()
    train = importlib.import_module("mixvae.train")

    def told() -> int:
        status = train.main(words)
        phases.write(Path(file))
        return status

    importlib.import_module("mixvae.cli.errors").run_as_process(told)


if __name__ == "__main__":
    main()
