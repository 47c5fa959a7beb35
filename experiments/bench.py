"""Benchmarks: the training step against a loop over agents, and the loading of batches.

    python -m experiments.bench training --threads 1
    python -m experiments.bench loading --threads 1

Every pair is measured in one process in alternating order, after a warm-up; a ratio is taken within
each round and its median reported, so that whatever else the machine does weighs on both sides
alike. Trust ratios, not single absolutes. Writes JSON and Markdown to experiments/results/bench/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, TensorDataset

from experiments.agent_loop import AgentLoop, Sizes, copy_weights
from mixvae.augmenters.noise import Identity
from mixvae.contracts import Batch
from mixvae.data.resident import ResidentTensors, TrainLoader
from mixvae.modules import CplMixVAE
from mixvae.networks.agents import Agents
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.objectives.likelihoods import Bernoulli, SquaredError

RESULTS = Path(__file__).parent / "results" / "bench"

SIZES = {
    # conf/networks/mlp.yaml's widths.
    "mnist": Sizes(
        features=784,
        categories=10,
        state_dim=10,
        batch_size=256,
        encoder=(400, 400, 64),
        decoder=(400, 400),
        batch_norm="before",
        dropout=0.0,
        tau=1.0,
        double_softmax=False,
        temperature=0.67,
        binary=True,
    ),
    # MMIDAS on Smart-seq: 5,032 genes, half of the input dropped.
    "smartseq": Sizes(
        features=5032,
        categories=120,
        state_dim=2,
        batch_size=512,
        encoder=(100, 100, 100, 100, 10),
        decoder=(10, 100, 100, 100, 100),
        batch_norm="after",
        dropout=0.5,
        tau=0.005,
        double_softmax=True,
        temperature=1.0,
        binary=False,
    ),
}


class Seconds(NamedTuple):
    """What one measurement took.

    Attributes:
        wall: Seconds on the clock.
        cpu: Seconds of the process on all its threads; what other jobs take is not in it.
    """

    wall: float
    cpu: float


def build_model(num_agents: int, sizes: Sizes) -> CplMixVAE:
    """The batched model at these sizes, with the paper's terms only and fused Adam."""
    return CplMixVAE(
        shape=(sizes.features,),
        agents=partial(
            Agents,
            encoder=partial(
                MLPEncoder,
                hidden=sizes.encoder,
                batch_norm=sizes.batch_norm,
                input_dropout=sizes.dropout,
            ),
            decoder=partial(MLPDecoder, hidden=sizes.decoder, batch_norm=sizes.batch_norm),
        ),
        augmenter=Identity(),
        likelihood=Bernoulli() if sizes.binary else SquaredError(),
        optimizer=partial(torch.optim.Adam, lr=1e-3, fused=True),
        num_agents=num_agents,
        num_categories=sizes.categories,
        state_dim=sizes.state_dim,
        tau=sizes.tau,
        double_softmax=sizes.double_softmax,
        temperature=sizes.temperature,
        coupling="perturbed",
    )


def batched_step(model: CplMixVAE, batch: Batch) -> Callable[[], None]:
    """One optimiser step of the batched model, as Lightning would make it."""
    optimizer = model.optimizer_factory(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model.training_step(batch, 0)["loss"].backward()
        optimizer.step()

    return step


def loop_step(loop: AgentLoop, batch: Batch) -> Callable[[], None]:
    """One optimiser step of the loop over agents, with torch's default Adam."""
    optimizer = torch.optim.Adam(loop.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loop.loss(batch.x).backward()
        optimizer.step()

    return step


def training_pair(
    num_agents: int, sizes: Sizes, device: torch.device
) -> dict[str, Callable[[], None]]:
    """The steps to compare, from the same weights on the same batch."""
    torch.manual_seed(0)
    rows = torch.arange(sizes.batch_size, device=device)
    batch = Batch(torch.rand(sizes.batch_size, sizes.features, device=device), rows, rows)
    model = build_model(num_agents, sizes).to(device).train()
    loop = AgentLoop(num_agents, sizes).to(device).train()
    copy_weights(model, loop)
    return {"loop": loop_step(loop, batch), "mixvae": batched_step(model, batch)}


def loading_pair(num_samples: int, num_features: int, stored: str) -> dict[str, Any]:
    """The loaders to compare, over one epoch of the same samples."""
    torch.manual_seed(0)
    label = torch.zeros(num_samples, dtype=torch.int64)
    index = torch.arange(num_samples)
    if stored == "uint8":
        pixels = torch.randint(0, 256, (num_samples, num_features), dtype=torch.uint8)
        resident, plain = ResidentTensors(pixels, label, unit=255), pixels.float() / 255
    else:
        plain = torch.rand(num_samples, num_features)
        resident = ResidentTensors(plain, label)
    batch_size = 256 if stored == "uint8" else 512
    dataset = TensorDataset(plain, label, index)
    return {
        "DataLoader": partial(consume, DataLoader(dataset, batch_size, shuffle=True)),
        "mixvae": partial(consume, TrainLoader(resident, index, batch_size, seed=0)),
    }


def consume(loader: Iterable[Any]) -> None:
    """Take every batch of one epoch."""
    for _ in loader:
        pass


def measure(run: Callable[[], None], repeats: int, device: torch.device) -> Seconds:
    """The time that `repeats` calls take together."""
    _wait(device)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def compare(
    cases: dict[str, Callable[[], None]],
    samples: int,
    *,
    rounds: int,
    seconds: float,
    device: torch.device,
) -> dict[str, Any]:
    """Measure two cases in alternating order; the first is the yardstick.

    Args:
        cases: The yardstick and ours, by name.
        samples: Samples that one call works through.
        rounds: Rounds; each measures both cases, the order reversed from round to round.
        seconds: About how long one measurement should take.
        device: Where the work is done.

    Returns:
        For each case, the median samples per wall and per CPU second; for the pair, the median,
        smallest and largest ratio of ours to the yardstick over the rounds.
    """
    repeats = {}
    for name, run in cases.items():
        measure(run, 1, device)  # allocations, thread pools, optimiser state
        repeats[name] = max(1, round(seconds / measure(run, 1, device).wall))
    rates: dict[str, list[Seconds]] = {name: [] for name in cases}
    for i in range(rounds):
        for name in list(cases)[:: 1 if i % 2 == 0 else -1]:
            taken = measure(cases[name], repeats[name], device)
            work = samples * repeats[name]
            rates[name].append(Seconds(work / taken.wall, work / taken.cpu))
    yardstick, ours = cases
    result: dict[str, Any] = {"yardstick": yardstick, "ours": ours, "repeats": repeats}
    for kind in Seconds._fields:
        for name in cases:
            values = [getattr(rate, kind) for rate in rates[name]]
            result[f"{name} samples per {kind} second"] = statistics.median(values)
        ratios = [
            getattr(b, kind) / getattr(a, kind)
            for a, b in zip(rates[yardstick], rates[ours], strict=True)
        ]
        result[f"{kind} ratio"] = statistics.median(ratios)
        result[f"{kind} ratio range"] = [min(ratios), max(ratios)]
    return result


def machine(threads: int, device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The results as a Markdown table; a ratio above 1 means that mixvae is faster."""
    yardstick, ours = rows[0]["yardstick"], rows[0]["ours"]
    lines = [
        f"| case | {yardstick}, samples/s | {ours}, samples/s | ratio, wall | ratio, CPU |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        rates = [row[f"{name} samples per wall second"] for name in (yardstick, ours)]
        ratios = []
        for kind in Seconds._fields:
            low, high = row[f"{kind} ratio range"]
            ratios.append(f"**{row[f'{kind} ratio']:.2f}** ({low:.2f}-{high:.2f})")
        cells = [row["case"], *(f"{rate:,.0f}" for rate in rates), *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def save(name: str, rows: list[dict[str, Any]], setting: dict[str, Any], out: Path) -> None:
    """Write `<name>.json` and `<name>.md` into `out`, and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"setting": setting, "rows": rows}
    (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    text = ", ".join(f"{key} {value}" for key, value in setting.items())
    page = (
        f"# bench {name}\n\n`python -m experiments.bench {name}`: {text}.\n"
        f"Median over the rounds, with the smallest and largest ratio.\n\n{table(rows)}\n"
    )
    (out / f"{name}.md").write_text(page)
    print(page)


def training_cases(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the training step for each size and number of agents."""
    for size in args.sizes:
        for num_agents in args.agents:
            sizes = SIZES[size]
            pair = training_pair(num_agents, sizes, args.device)
            row = compare(
                pair,
                sizes.batch_size,
                rounds=args.rounds,
                seconds=args.seconds,
                device=args.device,
            )
            yield {"case": f"{size}, A={num_agents}, B={sizes.batch_size}", **row}


def loading_cases(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure an epoch of digits as bytes, and of genes as floats, on the CPU."""
    for samples, features, stored in ((60000, 784, "uint8"), (5000, 5032, "float32")):
        row = compare(
            loading_pair(samples, features, stored),
            samples,
            rounds=args.rounds,
            seconds=args.seconds,
            device=torch.device("cpu"),
        )
        yield {"case": f"{samples:,} x {features:,} {stored}", **row}


BENCHMARKS = {"training": training_cases, "loading": loading_cases}


def main(argv: list[str] | None = None) -> None:
    """Run one benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=__doc__)
    parser.add_argument("benchmark", choices=list(BENCHMARKS))
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement (1.0)")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--agents", nargs="+", type=int, default=[2, 5, 10])
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default {RESULTS}")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    setting = machine(args.threads, args.device)
    save(args.benchmark, list(BENCHMARKS[args.benchmark](args)), setting, args.out)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
