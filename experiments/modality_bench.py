"""What several modalities cost: MMVM's regulariser against its double loop, and a training step.

    python -m experiments.modality_bench

`pairwise` and `mixture` are the objectives of `kl: pairwise` and `kl: mixture`, the loop is the
literal sum over pairs; forward and backward, B=128, L=2. The step is one of MMVM's with an encoder
and a decoder of 100 features and 64 hidden units for each modality. Medians over rounds, in
milliseconds of process time; the last two columns are per modality, and stay level if the cost is
linear in M. Writes experiments/results/bench/modalities.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.bench import RESULTS, machine, measure
from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.modules import MMVM
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import SquaredError
from mixvae.objectives.mixture_prior import mixture_kl, pairwise_kl
from mixvae.objectives.relaxation import reparametrise

BATCH_SIZE, LATENT_DIM, FEATURES, HIDDEN = 128, 2, 100, 64
LARGEST_LOOP = 20
CPU = torch.device("cpu")


def loop_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """The literal (1/M) sum over pairs, a pair at a time: shape (B,), nats."""
    total = torch.zeros_like(mean[0, :, 0])
    for m in range(len(mean)):
        for n in range(len(mean)):
            ratio = (logvar[m] - logvar[n]).exp()
            shift = (mean[m] - mean[n]).square() / logvar[n].exp()
            total = total + 0.5 * (ratio + shift - 1 + logvar[n] - logvar[m]).sum(-1)
    return total / len(mean)


def divergence(kind: Callable[[Tensor, Tensor], Tensor], num_modalities: int) -> None:
    """One forward and backward pass of a regulariser."""
    shape = (num_modalities, BATCH_SIZE, LATENT_DIM)
    mean, logvar = (torch.zeros(shape).requires_grad_() for _ in range(2))
    kind(mean, logvar).mean().backward()


def sampled_mixture_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """`mixture_kl` with its draw."""
    return mixture_kl(mean, logvar, reparametrise(mean, logvar))


def training_step(num_modalities: int) -> Callable[[], None]:
    """One optimiser step of MMVM."""
    torch.manual_seed(0)
    specs = [ModalitySpec(str(m), (FEATURES,)) for m in range(num_modalities)]
    model = MMVM(
        modalities=specs,
        networks=partial(
            ModalityNetworks,
            encoder=partial(ModalityEncoder, hidden=(HIDDEN,)),
            decoder=partial(ModalityDecoder, hidden=(HIDDEN,)),
        ),
        likelihood=SquaredError(),
        optimizer=partial(torch.optim.Adam, lr=1e-3, fused=True),
        latent_dim=LATENT_DIM,
    )
    rows = torch.arange(BATCH_SIZE)
    present = torch.ones(BATCH_SIZE, num_modalities, dtype=torch.bool)
    x = tuple(torch.rand(BATCH_SIZE, FEATURES) for _ in specs)
    batch = MultimodalBatch(x, present, rows, rows, rows[:, None].expand_as(present))
    optimizer = model.optimizer_factory(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model.terms(batch).total().backward()
        optimizer.step()

    return step


def milliseconds(run: Callable[[], None], rounds: int, seconds: float) -> float:
    """Median process time of one call."""
    repeats = max(1, round(seconds / max(measure(run, 2, CPU).wall / 2, 1e-6)))
    return 1e3 * statistics.median(measure(run, repeats, CPU).cpu / repeats for _ in range(rounds))


def rows(counts: list[int], rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
    """One row of the table for each number of modalities."""
    for count in counts:
        times = {
            name: milliseconds(partial(divergence, kind, count), rounds, seconds)
            for name, kind in (("pairwise", pairwise_kl), ("mixture", sampled_mixture_kl))
        }
        looped = partial(divergence, loop_kl, count)
        if count <= LARGEST_LOOP:
            times["loop"] = milliseconds(looped, rounds, seconds)
        times["step"] = milliseconds(training_step(count), rounds, seconds)
        row: dict[str, Any] = {"case": f"M={count}"}
        for name in ("loop", "mixture", "pairwise", "step"):
            row[f"{name} ms"] = round(times[name], 3) if name in times else "-"
        row |= {f"{name} ms per M": round(times[name] / count, 4) for name in ("pairwise", "step")}
        yield row


def save(table: list[dict[str, Any]], setting: dict[str, Any], out: Path) -> None:
    """Write `modalities.json` and `modalities.md` into `out`, and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"setting": setting, "rows": table}
    (out / "modalities.json").write_text(json.dumps(content, indent=2) + "\n")
    said = ", ".join(f"{key} {value}" for key, value in setting.items())
    lines = [
        f"| {' | '.join(table[0])} |",
        f"| {' | '.join('---' for _ in table[0])} |",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in table),
    ]
    page = "\n".join(
        ["# bench modalities", "", f"`python -m experiments.modality_bench`: {said}.", "", *lines]
    )
    (out / "modalities.md").write_text(page + "\n")
    print(page)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.modality_bench")
    parser.add_argument("--modalities", nargs="+", type=int, default=[2, 5, 10, 20, 50, 100])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement (0.3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    table = list(rows(args.modalities, args.rounds, args.seconds))
    save(table, machine(args.threads, CPU), args.out)


if __name__ == "__main__":
    main()
