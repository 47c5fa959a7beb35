"""Nothing grows from epoch to epoch: neither the tensors alive nor the resident memory."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.cli.schema import register
from mixvae.runs.training import train
from tests.composed import composed

EPOCHS = 30
COUNTED = (5, 17, 29)  # a count takes a second, and the first epochs fill caches
RUNS = {
    "digits_cpl": [
        "+experiment=digits_cpl",
        "model.num_agents=3",
        "model.align_epochs=[2,12]",
        "model.agents.encoder.hidden=[16,8]",
        "model.agents.decoder.hidden=[16]",
    ],
    "hippocampus_mmvm": [
        "+experiment=hippocampus_mmvm",
        "data.rats=[stella,superchris]",
        "model.networks.encoder.hidden=[8]",
        "model.networks.decoder.hidden=[8]",
    ],
}


class Census(Callback):
    """What is alive at the start of some epochs."""

    def __init__(self) -> None:
        self.tensors: list[int] = []
        self.megabytes: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count."""
        if trainer.current_epoch not in COUNTED:
            return
        gc.collect()
        self.tensors.append(sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.megabytes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory in use")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_cpl", "hippocampus_mmvm"])
def test_thirty_epochs_leave_nothing_behind(name: str, tmp_path: Path) -> None:
    register()
    settings = [f"trainer.max_epochs={EPOCHS}", "num_threads=1", f"run_dir={tmp_path / 'run'}"]
    quiet = ["logger=csv", "~callbacks.figures", "trainer.enable_progress_bar=false"]
    census = Census()
    train(composed([*RUNS[name], *settings, *quiet]), callbacks=[census])
    first, *later = census.tensors
    assert len(later) == len(COUNTED) - 1
    assert max(later) <= first + 5, census.tensors
    assert census.megabytes[-1] < census.megabytes[0] + 15, census.megabytes
