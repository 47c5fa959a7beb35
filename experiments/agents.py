"""The effect of several agents and of altered copies: accuracy and consensus against each.

    python -m experiments.agents
    python -m experiments.agents --seeds 0 1 2 --agents 1 2 3 5 8 --strengths 0 0.25 0.5 1 1.5
    python -m experiments.agents mnist_cpl --agents 1 2 3 5 --strengths

The runs are `python -m mixvae.train -m +experiment=digits_cpl model.num_agents=... seed=...` and
the same with `model.copy_strength=...`, the factor on the distance of all copies to their sample:
those of the augmenter and the adversary's. The same command goes on where it stopped. Accuracy is
that of the agents' vote on test data, beside the mean of single agents; labels only measure.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.comparison import Panel, setting_curves
from experiments.multiruns import as_job, complete
from experiments.reports import exit_status, headline, markdown, options, spread, write_runs
from mixvae.sweeps.tables import JobRecord

RUNS = Path("runs", "agents")
RESULTS = Path(__file__).parent / "results" / "agents"
AGENTS = (1.0, 2.0, 3.0, 5.0, 8.0)
STRENGTHS = (0.0, 0.25, 0.5, 1.0, 1.5)
# Name of each key of the config in the table and the figure.
SETTINGS = {"model.num_agents": "agents", "model.copy_strength": "strength of copies"}

# Key of the config, its value, the seed.
Records = dict[tuple[str, float, int], JobRecord]


def of_single_agents(record: JobRecord) -> float | None:
    """Mean accuracy of the agents alone, without a vote."""
    values = [v for name, v in record.metrics.items() if name.startswith("test/accuracy/agent")]
    return statistics.fmean(values) if values else record.metrics.get("test/accuracy")


MEASURES: dict[str, Callable[[JobRecord], float | None]] = {
    "accuracy": lambda record: record.metrics.get("test/accuracy"),
    "accuracy of single agents": of_single_agents,
    "NMI": lambda record: record.metrics.get("test/nmi"),
    "consensus": lambda record: record.metrics.get("test/consensus"),
}


def run(
    experiment: str,
    settings: dict[str, Sequence[float]],
    seeds: Sequence[int],
    root: Path,
    extra: Sequence[str],
) -> tuple[Records, int]:
    """Train missing runs; return the finished ones, and the number still missing."""
    asked = {}
    for key, values in settings.items():
        for seed in seeds:
            for value in values:
                lines = [f"+experiment={experiment}", f"seed={seed}", f"{key}={value:g}", *extra]
                asked[key, value, seed] = as_job(lines)
    done = complete(list(asked.values()), root)
    records = {what: done[job].record for what, job in asked.items() if job in done}
    return records, len(asked) - len(records)


def values_of(records: Records, key: str, measure: str) -> dict[float, list[float]]:
    """A measure by the values of a setting, one for each seed that has it."""
    found: dict[float, list[float]] = {}
    for (name, value, _), record in records.items():
        number = MEASURES[measure](record)
        if name == key and number is not None:
            found.setdefault(value, []).append(number)
    return dict(sorted(found.items()))


def table(records: Records, key: str) -> str:
    """Markdown table, a row for each value of a setting: mean and deviation over seeds."""
    columns = {measure: values_of(records, key, measure) for measure in MEASURES}
    rows = []
    for value in sorted({value for name, value, _ in records if name == key}):
        seeds = sorted(seed for name, number, seed in records if (name, number) == (key, value))
        cells = [spread(found[value]) if value in found else "" for found in columns.values()]
        rows.append([f"{value:g}", " ".join(map(str, seeds)), *cells])
    return markdown([SETTINGS[key], "seeds", *columns], rows)


def panels(records: Records, keys: Sequence[str]) -> list[Panel]:
    """Panels of the figure: accuracies and the consensus against each setting."""
    return [
        Panel(SETTINGS[key], y, {m: values_of(records, key, m) for m in measures})
        for key in keys
        for y, measures in (
            ("accuracy on test data", ("accuracy", "accuracy of single agents")),
            ("consensus of agents", ("consensus",)),
        )
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the tables, the CSV and the figure."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("experiment", nargs="?", default="digits_cpl", help="digits_cpl")
    parser.add_argument("--agents", type=float, nargs="*", default=list(AGENTS))
    parser.add_argument("--strengths", type=float, nargs="*", default=list(STRENGTHS))
    chosen = parser.parse_args(given)
    wanted = dict(zip(SETTINGS, (chosen.agents, chosen.strengths), strict=True))
    root = chosen.runs / chosen.experiment
    records, missing = run(chosen.experiment, wanted, chosen.seeds, root, chosen.overrides)
    if records:
        chosen.results.mkdir(parents=True, exist_ok=True)
        keys = [key for key in wanted if any(name == key for name, _, _ in records)]
        parts = [headline("agents", given, records.values())]
        parts += [table(records, key) for key in keys]
        stem = chosen.results / chosen.experiment
        stem.with_suffix(".md").write_text("\n\n".join(parts) + "\n", "utf-8")
        runs = {(k, f"{v:g}", str(seed)): record for (k, v, seed), record in records.items()}
        write_runs(stem.with_suffix(".csv"), runs, ("setting", "value", "seed"))
        figure = setting_curves(panels(records, keys))
        figure.savefig(stem.with_suffix(".png"), bbox_inches="tight", pad_inches=0.1)
        print("\n\n".join(parts[1:]))
    return exit_status(len(records), missing + len(records))


if __name__ == "__main__":
    sys.exit(main())
