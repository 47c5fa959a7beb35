from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from mixvae.engine.cluster import check_processes, cluster_environment

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NTASKS": "4"}
ONE_TASK = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "mixvae"}


@pytest.fixture
def variables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)
    return request.param


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        (TORCHRUN, TorchElasticEnvironment),
        (SRUN, SLURMEnvironment),
        (ONE_TASK, LightningEnvironment),
        ({}, LightningEnvironment),
    ],
    indirect=["variables"],
)
def test_lightning_is_given_the_environment_of_the_launcher(variables: Any, kind: type) -> None:
    assert type(cluster_environment()) is kind


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "culprit"),
    [
        (TORCHRUN, 2, 1, "torchrun started 4 processes, 2 on each machine, but .*num_nodes=2"),
        (TORCHRUN, 1, 4, "trainer.devices is 1 and trainer.num_nodes is 4"),
        (SRUN, 4, 1, "srun started 4 processes.*trainer.devices=2 trainer.num_nodes=2"),
        ({}, 1, 2, "trainer.num_nodes is 2, but this process was started alone"),
        (TORCHRUN, 2, 2, ""),
        (SRUN, 2, 2, ""),
        (ONE_TASK, 8, 1, ""),
    ],
    indirect=["variables"],
)
def test_another_number_of_processes_than_of_devices(
    variables: Any, devices: int, nodes: int, culprit: str
) -> None:
    trainer: Any = SimpleNamespace(num_devices=devices, num_nodes=nodes)
    if not culprit:
        check_processes(trainer)
        return
    with pytest.raises(ValueError, match=culprit):
        check_processes(trainer)


@pytest.mark.parametrize(
    "variables", [{"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}], indirect=True
)
def test_tasks_of_slurm_without_their_number_on_each_machine(variables: Any) -> None:
    with pytest.raises(ValueError, match=r"has 2 tasks .*--ntasks-per-node=N"):
        cluster_environment()


def test_a_rank_that_no_launcher_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixvae.engine.cluster.process_rank", lambda: 1)
    with pytest.raises(ValueError, match=r"process 1 of several .* neither torchrun nor srun"):
        cluster_environment()
