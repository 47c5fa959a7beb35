from __future__ import annotations

import pytest

from mixvae.ranks import check_started_alone, launcher, own_rank

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "SLURM_STEP_NUM_TASKS": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
ONE_TASK = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}


@pytest.mark.parametrize(
    ("variables", "name", "rank"),
    [(TORCHRUN, "torchrun", 3), (SRUN, "srun", 1), (ONE_TASK, None, 0), ({}, None, 0)],
)
def test_what_started_this_process(
    variables: dict[str, str], name: str | None, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert (launcher(), own_rank()) == (name, rank)
    if name is None:
        check_started_alone("a sweep")
    else:
        with pytest.raises(ValueError, match=f"a sweep cannot be started by {name}"):
            check_started_alone("a sweep")
