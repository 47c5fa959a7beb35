"""Runs of the multimodal models: a data set, a method, a weight of its regulariser, a seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import multiruns
from mixvae.sweeps.tables import JobRecord

RATS = "hippocampus_mmvm"
WITHOUT_BETA = ("ae",)
METHODS = ("mmvm", "independent", "avg", "poe", "moe", "mopoe", "mmvae_plus", "ae")


class Job(NamedTuple):
    """One training.

    Attributes:
        method: Name of a file of conf/model.
        beta: Weight of the regulariser; None for a model without one.
        seed: Seed of the run.
        recording: Seed of the simulated rats. Settings were chosen on those of 0.
        experiment: Name of a file of conf/experiment.
    """

    method: str
    beta: float | None
    seed: int
    recording: int = 0
    experiment: str = RATS

    def overrides(self, extra: Sequence[str]) -> multiruns.Job:
        """The command line of the run."""
        betas = [] if self.beta is None else [f"model.beta={self.beta:g}"]
        lines = [f"+experiment={self.experiment}", f"model={self.method}", *betas]
        fresh = [f"data.simulator.seed={self.recording}"] if self.recording else []
        return multiruns.as_job([*lines, f"seed={self.seed}", *fresh, *extra])


def grid(
    methods: Iterable[str],
    betas: Sequence[float],
    seeds: Sequence[int],
    recordings: Sequence[int] = (0,),
    experiment: str = RATS,
) -> list[Job]:
    """List every job; a method without beta gives one for each seed and recording."""
    return [
        Job(method, beta, seed, recording, experiment)
        for method in methods
        for beta in ((None,) if method in WITHOUT_BETA else betas)
        for recording in recordings
        for seed in seeds
    ]


def complete(
    jobs: Sequence[Job], root: Path, extra: Sequence[str], launcher: Sequence[str] = ()
) -> dict[Job, JobRecord]:
    """Train missing runs, see `multiruns.complete`.

    Args:
        jobs: The jobs wanted.
        root: Folder of the sweeps.
        extra: Overrides of every run, `key=value`.
        launcher: Overrides of new multiruns, `hydra/launcher=...`.

    Returns:
        The records of the jobs that are finished.
    """
    asked = {job.overrides(extra): job for job in jobs}
    done = multiruns.complete(list(asked), root, launcher)
    return {asked[overrides]: run.record for overrides, run in done.items()}
