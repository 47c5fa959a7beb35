"""What Lightning, logging and callbacks add to the bare steps of an epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from experiments.bench.agents import SMARTSEQ, build_model
from experiments.bench.measuring import Setting, Spent, now, spread
from experiments.bench.startup import composed
from mixvae.contracts import DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.resident import ResidentTensors
from mixvae.runs.build import Parts, build, build_trainer, quieten_lightning

BATCHES = 20  # of an epoch at the Smart-seq size
CELLS = 22_365  # of the Smart-seq data themselves
LARGE = 5000  # cells of a batch there


class Job(NamedTuple):
    """Epochs to train.

    Attributes:
        case: What the table calls it.
        overrides: Of the config that the trainer and its callbacks come from.
        epochs: Epochs of one measurement. One before them, in which graphs are recorded, and one
            after them are not measured.
        batch_size: Cells of a batch; 0 where the data are the config's.
        num_cells: Cells to train on; 0: `BATCHES` batches.
        group: The group that `--cases` chooses it by.
        graphs: Whether its steps are CUDA graphs, on a GPU.
    """

    case: str
    overrides: tuple[str, ...]
    epochs: int
    batch_size: int = 0
    num_cells: int = 0
    group: str = "training_loop"
    graphs: bool = False


DIGITS = Job("digits_cpl, as shipped", ("+experiment=digits_cpl",), 10)
GENES = Job("Smart-seq, A 2, K 120, B 512", ("name=genes",), 2, SMARTSEQ.batch_size)
EPOCH = Job("22,365 cells, A 2, K 120, B 5,000", ("name=genes",), 1, LARGE, CELLS, "epoch")
BF16_EPOCH = EPOCH._replace(
    case=f"{EPOCH.case}, bf16", overrides=(*EPOCH.overrides, "trainer.precision=bf16-mixed")
)
CPU_JOBS = (DIGITS, GENES, EPOCH, BF16_EPOCH)
# A GPU ends an epoch in milliseconds: more of them, between validations and checkpoints.
MANY = 50
AROUND = 2  # epochs that are not measured: one before, one after
SELDOM = tuple(
    f"{key}={MANY + AROUND}"
    for key in ("trainer.check_val_every_n_epoch", "callbacks.checkpoints.every_n_epochs")
)
GPU_JOBS = tuple(
    job._replace(
        case=f"{job.case}{', CUDA graphs' if graphs else ''}",
        overrides=(*job.overrides, *(SELDOM if job.batch_size else ())),
        epochs=MANY if job.group == "epoch" else 10,
        graphs=graphs,
    )
    for job in CPU_JOBS
    for graphs in (False, True)
)


class RandomCells(AbstractResidentDataModule):
    """Random numbers of the size of the Smart-seq data, a tenth more of them to validate."""

    def __init__(self, num_samples: int, batch_size: int, num_features: int) -> None:
        super().__init__(seed=0, batch_size=batch_size, eval_batch_size=batch_size)
        self.num_samples, self.num_features = num_samples, num_features

    @property
    def spec(self) -> DataSpec:
        """Vectors of two classes."""
        return DataSpec("random", (self.num_features,), 2, ("a", "b"))

    def read_splits(self) -> dict[Split, SplitRows]:
        """Draw them."""
        count = self.num_samples + self.num_samples // 10
        x = torch.rand(count, self.num_features, generator=torch.Generator().manual_seed(0))
        tensors = ResidentTensors(x, torch.arange(count) % 2)
        train, rest = torch.arange(count).split([self.num_samples, count - self.num_samples])
        return {
            "train": SplitRows(tensors, train),
            "val": SplitRows(tensors, rest),
            "test": SplitRows(tensors, rest),
        }


class Clock(Callback):
    """Looks at the clock where the measured epochs begin and end; only there it waits for a GPU."""

    def __init__(self, epochs: int, device: torch.device) -> None:
        self.device, self.epochs = device, epochs
        self.times: dict[int, Spent] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock."""
        if trainer.current_epoch in (1, self.epochs + 1):
            self.times[trainer.current_epoch] = now(self.device)

    @property
    def spent(self) -> Spent:
        """Seconds of an epoch."""
        start, end = self.times[1], self.times[self.epochs + 1]
        return Spent(*((b - a) / self.epochs for a, b in zip(start, end, strict=True)))


def rows(setting: Setting, group: str = "training_loop") -> Iterator[dict[str, Any]]:
    """Seconds of an epoch, bare and with everything that a run does in it."""
    jobs = GPU_JOBS if setting.device.type == "cuda" else CPU_JOBS
    for job in jobs:
        if job.group == group:
            yield measured(job, setting)


def measured(job: Job, setting: Setting) -> dict[str, Any]:
    """One row: bare epochs and the trainer's in alternation, and the median ratio."""
    bare, whole = [], []
    for _ in range(max(1, setting.rounds // 2)):
        with tempfile.TemporaryDirectory() as folder:
            parts = parts_of(job, folder, setting.device)
            parts.data.trainer = parts.trainer  # which tells the data what device they are for
            bare.append(_bare(parts, job.epochs, setting.device))
            whole.append(trained(parts, job.epochs, setting.device).on(setting.device))
    ratio = spread([b / a for a, b in zip(bare, whole, strict=True)])
    seconds = {"bare": spread(bare)[0], "trainer": spread(whole)[0]}
    return {"group": job.group, "case": job.case, "seconds": seconds, "ratio": ratio}


def parts_of(job: Job, folder: str, device: torch.device) -> Parts:
    """Data, model and trainer of a job, its run in a folder."""
    kind = "gpu_captured" if job.graphs else "gpu"
    accelerator = [f"trainer={kind}"] if device.type == "cuda" else []
    settings = (*accelerator, "num_threads=1", f"run_dir={folder}", "logger=csv")
    cfg = composed([*job.overrides, *settings, *_quiet(job.epochs)])
    quieten_lightning()
    if job.batch_size == 0:
        cfg.trainer.max_epochs = 60  # its schedules need them
        parts = build(cfg)
        parts.trainer.fit_loop.max_epochs = job.epochs + AROUND
        return parts
    sizes = SMARTSEQ._replace(batch_size=job.batch_size)
    data = RandomCells(
        job.num_cells or BATCHES * sizes.batch_size, sizes.batch_size, sizes.features
    )
    data.setup()
    return Parts(data, build_model(2, sizes), build_trainer(cfg))


def _quiet(epochs: int) -> Sequence[str]:
    return (f"trainer.max_epochs={epochs + AROUND}", "trainer.enable_progress_bar=false")


def _bare(parts: Parts, epochs: int, device: torch.device) -> float:
    """Seconds of an epoch of nothing but batches and steps."""
    model = parts.model.to(device).train()
    assert isinstance(parts.data, LightningDataModule)
    optimizer = model.configure_optimizers()
    precision = parts.trainer.precision
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")
    loader, start = parts.data.train_dataloader(), now(device)
    for epoch in range(epochs + 1):
        start = now(device) if epoch == 1 else start
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            with mixed:
                loss = model.training_step(batch, 0)["loss"]
            loss.backward()
            optimizer.step()
    return (now(device).on(device) - start.on(device)) / epochs


def trained(parts: Parts, epochs: int, device: torch.device) -> Spent:
    """Seconds of an epoch of the trainer: steps, and what is due of validation and checkpoints."""
    clock = Clock(epochs, device)
    parts.trainer.callbacks.append(clock)
    parts.trainer.fit(parts.model, datamodule=parts.data)
    return clock.spent
