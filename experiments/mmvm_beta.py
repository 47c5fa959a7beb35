"""The default beta of MMVM beside a grid of betas, on rats and arrays of many kinds.

    python -m experiments.mmvm_beta --seeds 0
    python -m experiments.mmvm_beta --settings slow noisy --betas 0.1 0.3 1 3

Each setting is trained with `model.beta=auto` and with each beta of the grid. The table holds the
beta that was chosen, its probe and coherence on test data, and the largest of each on the grid,
which may be of two betas. Rats have five sub-windows of 50 ms, so that a run takes seconds; arrays
have a class in common, and a walk and an oscillation of their own. The same command goes on where
it stopped.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments import multiruns
from experiments.reports import exit_status, headline, markdown, options, write_runs
from mixvae.runs.folder import RunFolder

RUNS = Path("runs", "mmvm_beta")
RESULTS = Path(__file__).parent / "results" / "mmvm_beta"
AUTO = "auto"
BETAS = (0.1, 0.4, 1.6, 6.4)
MEASURES = ("test/probe_accuracy", "test/coherence")
TRAINING = ("trainer.check_val_every_n_epoch=50", "callbacks.checkpoints=null")
RATS = (
    "+experiment=hippocampus_mmvm",
    "data.subwindow_length=5",
    "data.num_subwindows=5",
    "data.simulator.num_bins=280",
    "data.simulator.tuning=1.5",
    "trainer.max_epochs=60",
)
SIMULATED: dict[str, tuple[str, ...]] = {
    "as_shipped": (),
    "other_sizes": (
        "num_neurons=[61,40,120,33,77]",
        "rate=3.6",
        "walk=0.2",
        "theta=0.4",
    ),
    "slow": ("rate=3",),
    "fast": ("rate=20",),
    "quiet": ("theta=0.2", "gain=0.1", "state=0.1", "drift=0.1"),
    "noisy": ("theta=1.2", "walk=0.4"),
    "few_neurons": ("num_neurons=[20,15,30,12,18]", "tuning=2.5"),
    "well_tuned": ("tuning=3",),
}
LONG_BINS = ("data.subwindow_length=15", "data.num_subwindows=3")
# Modalities, latent dimensions and factor on all values.
ARRAYS = {
    "arrays_m2": (2, 1.0),
    "arrays_m5": (5, 1.0),
    "arrays_m12": (12, 1.0),
    "arrays_small": (3, 1e-3),
    "arrays_large": (3, 1e3),
}
SETTINGS = (*SIMULATED, "long_windows", *ARRAYS)


def make_arrays(folder: Path, num_modalities: int, scale: float, events: int = 1500) -> None:
    """Write arrays a class of which all modalities share, and two movements that each has alone."""
    generator = np.random.default_rng([num_modalities, 7])
    label = generator.integers(0, 4, events)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "label.npy", label)
    time = np.arange(events)
    for m in range(num_modalities):
        features = int(generator.integers(20, 60))
        walk = generator.normal(size=events).cumsum()
        phase = 2 * np.pi * time / generator.uniform(5, 50) + generator.uniform(0, 6)
        private = np.stack([2.0 * walk / walk.std(), 2.0 * np.sin(phase)], axis=1)
        private = generator.permuted(private, axis=0)
        x = generator.normal(size=(4, features))[label]
        x += private @ generator.normal(size=(2, features)) / 2
        x += generator.normal(size=(events, features))
        np.save(folder / f"m{m}.npy", (scale * x).astype(np.float32))


def overrides(setting: str, beta: str, seed: int, root: Path) -> list[str]:
    """The command line of a run."""
    chosen = f"model.beta={beta}"
    if setting in ARRAYS:
        num_modalities, _ = ARRAYS[setting]
        folder = (root / "arrays" / setting).absolute()
        files = ", ".join(f"m{m}: {folder}/m{m}.npy" for m in range(num_modalities))
        return [
            "+experiment=multimodal_mmvm",
            f"data.modalities={{{files}}}",
            f"data.labels={folder}/label.npy",
            "model.latent_dim=2",
            "trainer.max_epochs=60",
            "num_threads=1",
            chosen,
            f"seed={seed}",
        ]
    if setting == "long_windows":
        return [RATS[0], *LONG_BINS, *RATS[3:], chosen, f"seed={seed}"]
    changed = [f"data.simulator.{item}" for item in SIMULATED[setting]]
    keys = {item.partition("=")[0] for item in changed}
    kept = [item for item in RATS if item.partition("=")[0] not in keys]
    return [*kept, *changed, chosen, f"seed={seed}"]


def row(setting: str, runs: Mapping[tuple[str, str, str], multiruns.Run]) -> list[str]:
    """The default of a setting beside the best of its grid, means over seeds."""
    found: dict[str, list[multiruns.Run]] = {}
    for (name, beta, _), run in runs.items():
        if name == setting:
            found.setdefault(beta, []).append(run)
    grid = {beta: part for beta, part in found.items() if beta != AUTO}
    if AUTO not in found or not grid:
        return [setting, "missing"]
    betas = [RunFolder(run.folder).read_summary()["choices"]["model.beta"] for run in found[AUTO]]
    cells = [setting, str(len(betas)), " ".join(f"{choice['beta']:.2g}" for choice in betas)]
    for measure in MEASURES:
        own = _mean(found[AUTO], measure)
        best = max(grid, key=lambda beta: _mean(grid[beta], measure))
        rival = _mean(grid[best], measure)
        cells += [f"{own:.3f}", f"{rival:.3f} ({best})", f"{own - rival:+.3f}"]
    return cells


def _mean(runs: Sequence[multiruns.Run], measure: str) -> float:
    return statistics.fmean(run.record.metrics[measure] for run in runs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the table and the CSV."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    chosen = parser.parse_args(given)
    for name in set(chosen.settings) & set(ARRAYS):
        make_arrays(chosen.runs / "arrays" / name, *ARRAYS[name])
    asked = {}
    for setting in chosen.settings:
        for beta in (AUTO, *(f"{beta:g}" for beta in chosen.betas)):
            for seed in chosen.seeds:
                job = [*overrides(setting, beta, seed, chosen.runs), *TRAINING, *chosen.overrides]
                asked[multiruns.as_job(job)] = (setting, beta, str(seed))
    done = multiruns.complete(list(asked), chosen.runs)
    runs = {asked[job]: run for job, run in done.items()}
    if runs:
        chosen.results.mkdir(parents=True, exist_ok=True)
        columns = ["setting", "seeds", "chosen", "probe", "best", "", "coherence", "best", ""]
        text = markdown(columns, [row(setting, runs) for setting in chosen.settings])
        records = {key: run.record for key, run in runs.items()}
        parts = [headline("mmvm_beta", given, records.values()), text]
        (chosen.results / "mmvm_beta.md").write_text("\n\n".join(parts) + "\n", "utf-8")
        write_runs(chosen.results / "mmvm_beta.csv", records, ("setting", "beta", "seed"))
        print(text)
    return exit_status(len(runs), len(asked))


if __name__ == "__main__":
    sys.exit(main())
