"""The data modules inside Lightning: epochs, resuming, several processes, devices."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mixvae.contracts import Batch
from mixvae.data import DigitsDataModule


class Recorder(LightningModule):
    """Writes down which rows it is given; its one parameter and buffer make DDP synchronise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.train_rows: list[tuple[int, list[int]]] = []
        self.eval_rows: dict[str, list[int]] = {"val": [], "test": [], "predict": []}

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        assert isinstance(batch, Batch)
        self.train_rows.append((self.current_epoch, batch.index.tolist()))
        self.seen += 1
        return self.weight * batch.x.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.eval_rows["val"] += batch.index.tolist()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.eval_rows["test"] += batch.index.tolist()

    def predict_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.eval_rows["predict"] += batch.index.tolist()
        return batch.index

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_data(**options: int) -> DigitsDataModule:
    return DigitsDataModule(**{"seed": 0, "batch_size": 200, "eval_batch_size": 100, **options})


def make_trainer(folder: Path, *callbacks: Callback, **options: object) -> Trainer:
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "max_epochs": 3,
    }
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**defaults, **options})


def rows(loader: object) -> list[int]:
    return [row for batch in loader for row in batch.index.tolist()]


def test_lightning_takes_the_loaders_without_a_warning(tmp_path):
    data, model = make_data(), Recorder()
    trainer = make_trainer(tmp_path)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    trainer.predict(model, datamodule=data)
    assert model.eval_rows["val"] == rows(data.val_dataloader()) * 3
    assert model.eval_rows["test"] == rows(data.test_dataloader())
    assert model.eval_rows["predict"] == rows(data.predict_dataloader())
    loader = data.train_dataloader()
    assert trainer.num_training_batches == len(loader) == 6
    expected = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        expected += [(epoch, batch.index.tolist()) for batch in loader]
    assert model.train_rows == expected


class SaveAt(Callback):
    """Saves once, at a hook, when so many steps have been taken.

    A callback without state: a `ModelCheckpoint` would warn about its own folder at the resume.
    """

    def __init__(self, path: Path, hook: str, step: int) -> None:
        def save(trainer: Trainer, *_: object) -> None:
            if trainer.global_step == step:
                trainer.save_checkpoint(path)

        setattr(self, hook, save)


@pytest.mark.parametrize(
    ("hook", "stop_at", "goal"),
    [
        ("on_train_batch_end", 1, {}),
        ("on_train_batch_end", 8, {}),  # within the second epoch of 6 batches
        ("on_train_batch_end", 12, {}),  # after the last batch of an epoch, before its end
        ("on_validation_end", 12, {}),
        ("on_train_epoch_end", 6, {}),
        # With max_steps, Lightning 2.6 counts an epoch twice when resumed from `on_train_epoch_end`
        # whatever the loader, so that case is not here.
        ("on_train_batch_end", 8, {"max_steps": 18}),
        ("on_validation_end", 12, {"max_steps": 18}),
    ],
)
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(tmp_path, hook, stop_at, goal):
    whole, resumed, path = Recorder(), Recorder(), tmp_path / "stop.ckpt"
    make_trainer(tmp_path, SaveAt(path, hook, stop_at), **goal).fit(whole, datamodule=make_data())
    assert len(whole.train_rows) == 18
    make_trainer(tmp_path, **goal).fit(
        resumed, datamodule=make_data(), ckpt_path=path, weights_only=True
    )
    assert resumed.train_rows == whole.train_rows[stop_at:]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_predict_yields_the_split_that_is_asked_for(split):
    data = make_data(predict_split=split)
    data.setup("predict")
    assert rows(data.predict_dataloader()) == rows(data.eval_dataloader(split))
    if split == "train":
        assert rows(data.predict_dataloader()) == sorted(rows(data.predict_dataloader()))
        assert len(rows(data.predict_dataloader())) == 1293


def test_a_batch_larger_than_the_training_set_is_refused_at_setup():
    with pytest.raises(ValueError, match=r"batch_size is 1294 but .* digits has 1293 samples"):
        make_data(batch_size=1294).setup("fit")


def test_tensors_move_once_to_the_device_of_the_trainer():
    data = make_data()
    data.setup()
    strategy = SimpleNamespace(root_device=torch.device("meta"))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1)
    loaders = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    assert len({id(loader._tensors) for loader in loaders}) == 1
    for loader in loaders:
        batch = next(iter(loader))
        assert {part.device.type for part in batch if part is not None} == {"meta"}


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of Python >= 3.12
def test_two_processes_share_training_and_evaluate_each_sample_once(tmp_path):
    data = make_data(eval_batch_size=71)  # 144 = 2 * 71 + 2, and the test set has a remainder too
    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork", max_epochs=2)
    trainer.fit(RankWriter(tmp_path), datamodule=data)
    left, right = (torch.load(tmp_path / f"rows{rank}.pt") for rank in (0, 1))
    data.trainer = None
    data.setup()
    assert sorted(left["val"] + right["val"]) == sorted(rows(data.val_dataloader()) * 2)
    single = data.train_dataloader()
    single.sampler.set_epoch(1)
    expected = [sorted(batch.index.tolist()) for batch in single]
    parts = [[r for epoch, r in share["train"] if epoch == 1] for share in (left, right)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == expected


class RankWriter(Recorder):
    """A recorder that leaves its rows on disk, since processes share no memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_fit_end(self) -> None:
        rows = {"train": self.train_rows, "val": self.eval_rows["val"]}
        torch.save(rows, self.folder / f"rows{self.global_rank}.pt")
