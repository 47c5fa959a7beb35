"""The command line of the comparison with the peers."""

from __future__ import annotations

import argparse
import importlib.metadata
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from experiments import peers
from experiments.bench.measuring import CPU, Case, Setting, compare, machine
from experiments.bench.report import Report, ratio_figure
from experiments.peers import cells, steps
from experiments.peers.checkouts import CHECKOUTS, PACKAGES

RESULTS = Path(__file__).resolve().parents[1] / "results" / "peers"
REPORT = Report(
    "peers",
    "Against the peers' own code",
    {
        "mmidas": "Training step at the Smart-seq size against MMIDAS",
        "hippocampal": "Training step on five rats and on M of 500 features, against mmvmvae",
        "joint_vae": "Training step of JointVAE on MNIST's 32 x 32 pixels against joint-vae",
        "multivae": "Training step on five rats against MultiVae",
        "scvi": f"{cells.CELLS:,} cells x {cells.GENES:,} genes, negative binomial, against SCVI",
    },
    ratio_figure,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.peers",
        description=peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for checkout in CHECKOUTS:
        told = f"a checkout of {checkout.repository}, commit {checkout.commit}"
        parser.add_argument(checkout.option, type=Path, metavar="DIR", help=told)
    groups = list(REPORT.titles)
    parser.add_argument("--cases", nargs="+", choices=groups, default=groups, help="all")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement (0.3)")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default {RESULTS}")
    given = sys.argv[1:] if argv is None else list(argv)
    args = parser.parse_args(given)
    folders = {}
    for checkout in CHECKOUTS:
        folder = getattr(args, checkout.option.strip("-").replace("-", "_"))
        folders[checkout.option] = folder
        if folder is None:
            _left_out(checkout.repository, f"give a checkout, {checkout.option} DIR")
            continue
        try:
            checkout.check(folder)
        except ValueError as error:
            parser.error(str(error))
    torch.set_num_threads(args.threads)
    installed, rows, page = _installed(), [], ""
    described = machine(args.threads, CPU) | installed
    command = shlex.join(["python", "-m", "experiments.peers", *given])
    with tempfile.TemporaryDirectory() as temporary:
        for case in _cases(folders, set(installed), Path(temporary)):
            if case.group in args.cases:
                start = time.monotonic()
                rows.append(compare(case, Setting(args.rounds, args.seconds, CPU)))
                page = REPORT.save(rows, described, command, args.out)
                taken = time.monotonic() - start
                print(f"{case.group}, {case.name}: {taken:.0f} s", file=sys.stderr, flush=True)
    print(page)


def _cases(folders: dict[str, Path | None], packages: set[str], temporary: Path) -> Iterator[Case]:
    yield from steps.cases(folders, packages)
    if "scvi-tools" in packages:
        yield from cells.cases(temporary)


def _installed() -> dict[str, str]:
    """The versions of the packages that are installed in the release series wanted."""
    found = {}
    for name, series in PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            _left_out(name, f"pip install '{name}=={series}.*'")
            continue
        if version.startswith(f"{series}."):
            found[name] = version
        else:
            wanted = f"this comparison was written for {series}: pip install '{name}=={series}.*'"
            _left_out(f"{name} {version}", wanted)
    return found


def _left_out(name: str, remedy: str) -> None:
    print(f"{name} was left out: {remedy}", file=sys.stderr)


if __name__ == "__main__":
    main()
