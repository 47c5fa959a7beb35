"""How long a run takes to start: imports, composing and building, the first training step.

`python -m experiments.bench.startup` prints the seconds of each stage of one start as JSON.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STAGES = ("import torch", "import the rest", "compose and build", "first step")
OVERRIDES = ("+experiment=digits_cpl", "num_threads=1", "run_dir=unused", "logger=csv")


def composed(overrides: Sequence[str]) -> Any:
    """The run's config, as the command line would compose it."""
    from hydra import compose, initialize_config_dir

    from mixvae.cli.config_file import close
    from mixvae.cli.schema import conf_dir, register

    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return close(compose("train", overrides=list(overrides)))


def start() -> dict[str, float]:
    """Seconds of the process that each stage of one start took."""
    seconds = [time.process_time()]
    import torch

    seconds.append(time.process_time())
    from mixvae.runs.build import build

    torch.set_num_threads(1)
    seconds.append(time.process_time())
    parts = build(composed(OVERRIDES))
    seconds.append(time.process_time())
    optimizer = parts.model.configure_optimizers()
    parts.model.training_step(next(iter(parts.data.train_dataloader())), 0)["loss"].backward()
    optimizer.step()
    seconds.append(time.process_time())
    taken = [b - a for a, b in itertools.pairwise(seconds)]
    return dict(zip(STAGES, taken, strict=True))


def rows(repeats: int) -> list[dict[str, Any]]:
    """Median seconds of each stage over several starts, each a process of its own."""
    command = [sys.executable, "-m", "experiments.bench.startup"]
    root = Path(__file__).resolve().parents[2]
    started = [
        json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)
        for _ in range(repeats)
    ]
    total = statistics.median(sum(stages.values()) for stages in started)
    stages = {name: statistics.median(one[name] for one in started) for name in STAGES}
    return [{"group": "startup", "case": "digits_cpl", "seconds": {**stages, "together": total}}]


if __name__ == "__main__":
    print(json.dumps(start()))
