"""Every multimodal method on the rats over beta and seeds: one table, and the paper's figure 3.

    python -m experiments.hippocampus_beta_sweep
    python -m experiments.hippocampus_beta_sweep --full --seeds 0 1 2
    python -m experiments.hippocampus_beta_sweep --seeds 0 --recordings 1 2 3

The runs are `python -m mixvae.train -m +experiment=hippocampus_mmvm model=... model.beta=...
seed=...`, one multirun (a second one for the autoencoder, which has no beta). The same command goes
on where it stopped; with more seeds, betas or methods it runs what is missing. `--full` adds the
paper's grid. `--recordings` are seeds of the simulator: settings were chosen on recording 0. Each
method's best beta is the one with the best probe accuracy on validation trials.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.rat_runs import METHODS, Job, complete, grid
from experiments.reports import exit_status, headline, markdown, options, write_runs
from experiments.tradeoff import Point, Spread, tradeoff
from mixvae.sweeps.tables import JobRecord

RUNS = Path("runs", "hippocampus_beta_sweep")
RESULTS = Path(__file__).parent / "results" / "hippocampus"
# The methods' optima on the simulator; the paper's grid lies below.
BETAS = (0.1, 0.3, 1.0, 1.5)
PAPER_BETAS = (1e-5, 1e-4, 1e-3, 2.5e-3, 5e-3, 1e-2)
CHOSEN_BY = "val/probe_accuracy"
# Name in the table and decimals of each measure.
COLUMNS = {
    "test/probe_accuracy": ("probe", 3),
    "test/probe_accuracy/joint": ("joint probe", 3),
    "test/shared_probe_accuracy": ("shared probe", 3),
    "test/private_r2": ("private R²", 3),
    "test/private_phase_r2": ("phase R²", 3),
    "test/private_gain_r2": ("gain R²", 3),
    "test/private_state_r2": ("state R²", 3),
    "test/coherence": ("coherence", 3),
    "test/self_coherence": ("self-coherence", 3),
    "test/reconstruction": ("reconstruction", 1),
    "test/imputation": ("imputation", 1),
    "test/kl": ("regulariser", 2),
    "seconds": ("seconds", 0),
}
PANELS = {
    "test/probe_accuracy": "probe of the shared part: accuracy, unimodal latents",
    "test/private_r2": "probe of the private part: R²",
    "test/coherence": "coherence of decoded modalities",
}

Setting = tuple[str, float | None]
Records = Mapping[Job, JobRecord]


def spread(records: Records, setting: Setting, measure: str) -> Spread | None:
    """Mean and sample deviation over seeds; None where no run has the measure."""
    values = [
        record.metrics[measure]
        for job, record in records.items()
        if (job.method, job.beta) == setting and measure in record.metrics
    ]
    return Spread.of(values) if values else None


def settings(records: Records) -> list[Setting]:
    """Methods and betas that have runs: methods in their order, betas growing."""
    found = {(job.method, job.beta) for job in records}
    return sorted(found, key=lambda item: (METHODS.index(item[0]), item[1] or 0.0))


def best(records: Records) -> list[Setting]:
    """For each method the beta with the highest mean of `CHOSEN_BY`."""
    chosen: dict[str, Setting] = {}
    for setting in settings(records):
        value = spread(records, setting, CHOSEN_BY)
        rival = spread(records, chosen[setting[0]], CHOSEN_BY) if setting[0] in chosen else None
        if value is not None and (rival is None or value.mean > rival.mean):
            chosen[setting[0]] = setting
    return list(chosen.values())


def table(records: Records, rows: Sequence[Setting]) -> str:
    """Markdown table, a row for each setting: mean ± sd over its seeds."""
    lines = []
    for method, beta in rows:
        jobs = [job for job in records if (job.method, job.beta) == (method, beta)]
        seeds, recordings = (
            " ".join(map(str, sorted({getattr(job, name) for job in jobs})))
            for name in ("seed", "recording")
        )
        cells = [method, "" if beta is None else f"{beta:g}", seeds, recordings]
        for measure, (_, digits) in COLUMNS.items():
            cells.append(_text(spread(records, (method, beta), measure), digits))
        lines.append(cells)
    names = [name for name, _ in COLUMNS.values()]
    return markdown(["method", "beta", "seeds", "recordings", *names], lines)


def _text(value: Spread | None, digits: int) -> str:
    if value is None:
        return ""
    mean = f"{value.mean:.{digits}f}"
    return mean if math.isnan(value.deviation) else f"{mean} ± {value.deviation:.{digits}f}"


def write_csv(records: Records, path: Path) -> None:
    """Write every metric of every run."""
    runs = {
        (
            job.method,
            "" if job.beta is None else str(job.beta),
            str(job.seed),
            str(job.recording),
        ): record
        for job, record in records.items()
    }
    write_runs(path, runs, ("method", "beta", "seed", "recording"))


def curves(records: Records) -> dict[str, list[Point]]:
    """The points of figure 3: for each method, one for each beta."""
    found: dict[str, list[Point]] = {}
    for setting in settings(records):
        cost = spread(records, setting, "test/reconstruction")
        gains = {text: spread(records, setting, measure) for measure, text in PANELS.items()}
        known = {text: gain for text, gain in gains.items() if gain is not None}
        if cost is not None:
            found.setdefault(setting[0], []).append(Point(setting[1], cost, known))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the table, the CSV and the figure."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("--full", action="store_true", help="also the paper's grid of betas")
    parser.add_argument("--betas", type=float, nargs="+", help="a grid of your own")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--recordings", type=int, nargs="+", default=[0], help="of the simulator")
    chosen = parser.parse_args(given)
    betas = chosen.betas or ((*PAPER_BETAS, *BETAS) if chosen.full else BETAS)
    jobs = grid(chosen.methods, betas, chosen.seeds, chosen.recordings)
    records = complete(jobs, chosen.runs, chosen.overrides)
    if records:
        chosen.results.mkdir(parents=True, exist_ok=True)
        parts = [
            headline("hippocampus_beta_sweep", given, records.values()),
            f"Each method at its best beta, by `{CHOSEN_BY}`:",
            table(records, best(records)),
            "All:",
            table(records, settings(records)),
        ]
        (chosen.results / "beta_sweep.md").write_text("\n\n".join(parts) + "\n", "utf-8")
        write_csv(records, chosen.results / "beta_sweep.csv")
        figure = tradeoff(curves(records), list(PANELS.values()), "reconstruction (nats per event)")
        figure.savefig(chosen.results / "beta_sweep.png", bbox_inches="tight", pad_inches=0.1)
        print("\n\n".join(parts[1:3]))
    return exit_status(len(records), len(jobs))


if __name__ == "__main__":
    sys.exit(main())
