"""This process among those that a launcher started for one run; read without PyTorch."""

from __future__ import annotations

import os

# torchrun sets the first for each of its processes, Slurm the second for each task of a step.
TORCHRUN = "TORCHELASTIC_RUN_ID"
TASKS = "SLURM_STEP_NUM_TASKS"


def launcher() -> str | None:
    """Return `torchrun` or `srun` if it started several processes or may restart this one."""
    if os.environ.get(TORCHRUN):
        return "torchrun"
    # A Slurm step of one task is one process, which starts its worker processes itself.
    return "srun" if os.environ.get(TASKS, "1") != "1" else None


def own_rank() -> int:
    """Return the rank of this process in the run, from 0; 0 for a process started alone."""
    name = {"torchrun": "RANK", "srun": "SLURM_PROCID"}.get(launcher() or "", "")
    return int(os.environ.get(name, "0"))


def check_started_alone(what: str) -> None:
    """Refuse several processes where one does all the work."""
    if launcher() is not None:
        raise ValueError(
            f"{what} cannot be started by {launcher()}; start one process: with trainer=ddp"
            " trainer.devices=N each run starts its worker processes itself"
        )
