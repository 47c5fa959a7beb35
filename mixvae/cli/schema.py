"""What a run's config may hold at its top level; below it, constructors are the schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_store import ConfigStore

from mixvae.cli.errors import UsageError
from mixvae.suggestions import suggestion

Checkpoint = Literal["best", "last", "selected"]
"""The checkpoints of a run that can be tested: `checkpoints/<name>.ckpt` in its folder."""


@dataclass
class FigureConfig:
    """How figures are written, see `RunConfig`."""

    format: str | None = None
    style: str = "screen"


@dataclass
class RunConfig:
    """The top level of `conf/train.yaml`; Hydra refuses any other key, and wrong types.

    Attributes:
        name: Name of the experiment, and of the folder of its runs.
        seed: Seed of all randomness: data split, initial weights, order, sampling noise.
        data_root: Folder of data sets; null: MIXVAE_DATA_DIR, or else the user's cache folder.
        run_dir: The run folder; null: `runs/<name>/<date_time>`.
        resume: Folder of a stopped run to resume.
        traceback: Show the full traceback of an error; `debug=true` is the same.
        test: Whether to test after training and write predictions and figures.
        init_from: A checkpoint or run folder whose weights a new run starts from.
        compile: Compile the networks with torch.compile if the machine supports it.
        tags: Tags of the run in W&B.
        num_threads: CPU threads of PyTorch; null: PyTorch's own choice.
        matmul_precision: Precision of float32 matrix products on a GPU: `highest`, `high` (TF32:
            10 mantissa bits instead of 23, several times faster) or `medium` (bf16).
        bf16_tested: Whether the experiment has the same quality in bf16 over three seeds;
            `trainer.precision=auto` uses bf16 only then.
        test_checkpoint: Which weights to test: `best` by `callbacks.checkpoints`, `last`, or
            `selected` by `callbacks.pruning`.
        objective: Logged metric that a run returns to a Hydra sweeper.
        report: Whether to write report.html, a page of 6 MB, at the end of the run.
        figures: `figures.format=svg` or `pdf` adds a vector copy of each PNG;
            `figures.style=paper` uses 300 dpi and a serif font; the default is `screen`.
        data: Data module.
        model: LightningModule.
        augmenter: Makes each agent's augmented copy of a sample.
        trainer: lightning.Trainer.
        callbacks: Callbacks by name.
        logger: Loggers by name.
    """

    name: str = "default"
    seed: int = 0
    data_root: str | None = None
    run_dir: str | None = None
    resume: str | None = None
    traceback: bool = False
    debug: bool = False  # of run folders before `traceback`
    test: bool = True
    init_from: str | None = None
    compile: bool = False
    tags: list[str] = field(default_factory=list)
    num_threads: int | None = None
    matmul_precision: str = "high"
    bf16_tested: bool = False
    test_checkpoint: str = "best"
    objective: str = "val/loss"
    report: bool = True
    figures: FigureConfig = field(default_factory=FigureConfig)
    data: Any = None
    model: Any = None
    augmenter: Any = None
    trainer: Any = None
    callbacks: Any = None
    logger: Any = None


def register() -> None:
    """Make the schema known to Hydra as `run_schema`."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig, provider="mixvae")


def conf_dir() -> Path:
    """Folder of the configs: `conf/` beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "conf", package / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"no configs: neither {package.parent / 'conf'} nor {package / 'conf'} holds train.yaml;"
        " install mixvae again"
    )


NOT_COMPOSED = frozenset({"sweep", "dashboard", "wandb_sweep"})
"""Folders of conf/ that are no config groups of a run."""


def named_file(key: str, folder: str, name: str) -> Path:
    """Return a file of conf/ by its name, or the user's own .yaml file by its path.

    Raises:
        UsageError: If it is missing.
    """
    file = Path(name).expanduser()
    if name.endswith((".yaml", ".yml")):
        if not file.is_file():
            raise UsageError(f"{key}={name}: the file is missing")
        return file
    valid = [path.stem for path in (conf_dir() / folder).glob("*.yaml")]
    if name not in valid:
        raise UsageError(f"unknown {key} {name!r}{suggestion(name, valid)}")
    return conf_dir() / folder / f"{name}.yaml"
