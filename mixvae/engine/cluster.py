"""The processes that torchrun or srun started for one run: their number, and where they meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from mixvae.engine.rendezvous import Rendezvous
from mixvae.ranks import TASKS, launcher


def process_rank() -> int:
    """Rank of this process in the run, from 0; Lightning's types leave it out."""
    return rank_zero_only.rank  # type: ignore[attr-defined]


def cluster_environment() -> ClusterEnvironment:
    """Return Lightning's description of the processes, by what started this one."""
    started_by = launcher()
    if started_by == "torchrun":
        return TorchElasticEnvironment()
    if started_by is None:
        if process_rank() != 0:
            raise ValueError(
                f"this is process {process_rank()} of several (RANK, LOCAL_RANK), but neither"
                " torchrun nor srun started it"
            )
        return LightningEnvironment()
    if "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ValueError(
            f"this Slurm step has {os.environ[TASKS]} tasks ({TASKS}), but not their number on"
            " each machine; add --ntasks-per-node=N, the number of devices of each"
        )
    # Slurm's signal ends a run in order (see time_limits), and what requeues it is not Lightning.
    return SLURMEnvironment(auto_requeue=False)


def check_processes(trainer: Trainer) -> None:
    """Refuse another number of processes than the trainer has devices."""
    devices, nodes = trainer.num_devices, trainer.num_nodes
    started_by = launcher()
    if started_by is None:
        if nodes != 1:
            raise ValueError(
                f"trainer.num_nodes is {nodes}, but this process was started alone; start one"
                " process a device by torchrun or srun (docs/several_machines.md)"
            )
        return
    of_torchrun = started_by == "torchrun"
    total = int(os.environ["WORLD_SIZE" if of_torchrun else TASKS])
    each = int(os.environ["LOCAL_WORLD_SIZE" if of_torchrun else "SLURM_NTASKS_PER_NODE"])
    if (each, total) != (devices, devices * nodes):
        raise ValueError(
            f"{started_by} started {total} processes, {each} on each machine, but trainer.devices"
            f" is {devices} and trainer.num_nodes is {nodes}; set trainer=ddp"
            f" trainer.devices={each} trainer.num_nodes={total // each or 1}"
        )


@contextmanager
def meeting() -> Iterator[Rendezvous | None]:
    """Meet the processes that torchrun or srun started for the same run."""
    if launcher() is None:
        yield None
        return
    environment = cluster_environment()
    rank = environment.global_rank()
    # torchrun's own process hosts the store on its machine.
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    rendezvous = Rendezvous(
        rank,
        environment.world_size(),
        environment.main_address,
        environment.main_port,
        hosts=hosts,
    )
    try:
        yield rendezvous
    except BaseException:
        if rank == 0:
            with suppress(RuntimeError):
                rendezvous.call_off()
        raise
