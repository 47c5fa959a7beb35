"""Whole runs from command to prompt, each a process of its own: CPU seconds by phase.

Cells are those of the .h5ad file that MIXVAE_BENCH_CELLS names, or simulated ones.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.measured_process import measure
from experiments.phases import NAMES

CELLS = "MIXVAE_BENCH_CELLS"
SHORT = "trainer.max_epochs=4"  # of MNIST, whose run takes minutes
EXIT, TOTAL = "exit", "together"


def commands() -> dict[str, list[str]]:
    """The words of each run."""
    file = os.environ.get(CELLS)
    cells = ["+experiment=cells_synthetic_cpl"]
    if file is not None:
        if not Path(file).is_file():
            raise ValueError(f"{CELLS} is {file}, which is missing; name an .h5ad file of counts")
        cells = ["+experiment=cells_cpl", f"data.path={file}"]
    return {
        "digits_cpl": ["+experiment=digits_cpl"],
        f"mnist_cpl, {SHORT}": ["+experiment=mnist_cpl", SHORT],
        f"{cells[0].partition('=')[2]}{'' if file is None else f', {Path(file).name}'}": cells,
        "hippocampus_mmvm": ["+experiment=hippocampus_mmvm"],
    }


def rows(rounds: int) -> Iterator[dict[str, Any]]:
    """Median CPU seconds of each phase; a run that fails prints a message and is left out."""
    for case, words in commands().items():
        try:
            told = [run(words) for _ in range(rounds)]
        except RuntimeError as error:
            print(f"{case}: not measured: {error}", file=sys.stderr)
            continue
        seconds = {name: statistics.median(one[name] for one in told) for name in told[0]}
        yield {"group": "runs", "case": case, "seconds": seconds}


def run(words: list[str]) -> dict[str, float]:
    """CPU seconds of each phase of one run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "phases.json"
        command = [sys.executable, "-m", "experiments.phases", str(file), *words]
        command += ["logger=csv", f"run_dir={Path(folder) / 'run'}"]
        found = measure([*command, "trainer.enable_progress_bar=false"])
        told: dict[str, float] = json.loads(file.read_text())
    assert set(told) == set(NAMES)
    return {**told, EXIT: found.processor - sum(told.values()), TOTAL: found.processor}
