"""Losses of the first 20 steps at seed 0: a refactor keeps them, new mathematics explains why not.

The values stand in tests/golden/losses.json. A change of mathematics replaces them by those that a
failing test prints, in the commit that says why.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mixvae.train import main

GOLDEN = Path(__file__).parent / "golden" / "losses.json"
ARRAYS = ("+experiment=multimodal_mmvm", "data.modalities={a: a.npy, b: b.npy, c: c.npy}")
RUNS = {
    "default": [],
    "digits_cpl": ["+experiment=digits_cpl"],
    "digits with every coupling and likelihood of the paper's code": [
        "model.coupling=aitchison",
        "model.double_softmax=true",
        "model.straight_through=true",
        "model.num_agents=3",
        "model.likelihood._target_=mixvae.objectives.likelihoods.SquaredError",
        "augmenter=noise",
    ],
    "convolutions": [
        "augmenter=affine_mild",
        "networks=conv",
        "model.agents.encoder.channels=[8,8]",
        "model.agents.decoder.channels=[8,8]",
        "model.coupling_weight=0.01",
    ],
    "vade": ["model=vade", "model.pretrain_epochs=2"],
    "gmvae": ["model=gmvae"],
    "info_gan": ["model=info_gan"],
    "imsat": ["model=imsat"],
    "joint_vae": [
        "model=joint_vae",
        "model.state_capacity_epochs=3",
        "model.category_capacity_epochs=2",
    ],
    "cascade_vae": [
        "model=cascade_vae",
        "model.dimension_epochs=0.3",
        "model.category_after=2",
    ],
    "beta_vae": ["model=beta_vae", "model.beta=2"],
    "mmvm": [*ARRAYS, "model.alpha=0.2", "model.beta=0.5", "data.missing_fraction=0.2"],
    "mmvm mixture": [*ARRAYS, "model.kl=mixture", "model.beta=0.5"],
    "mopoe": [*ARRAYS, "model=mopoe", "model.prior_expert=true", "model.beta=0.3"],
    "mmvae_plus": [*ARRAYS, "model=mmvae_plus", "model.beta=0.3"],
}


# What cpl-mixVAE optimises is a sum over agents, A (A - 1) times the objective that it logs.
SHARES = {
    "default": 2,
    "digits_cpl": 56,
    "digits with every coupling and likelihood of the paper's code": 6,
    "convolutions": 2,
}


def losses(folder: Path) -> dict[str, float]:
    """The last epoch's training terms."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    return {name: float(rows[-1][name]) for name in rows[-1] if name.startswith("train/")}


def write_arrays(folder: Path) -> None:
    """Three aligned arrays for the runs of several modalities: what they share, and noise."""
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(800, 2))
    for name, size in (("a", 6), ("b", 4), ("c", 5)):
        noise = 0.3 * generator.normal(size=(800, size))
        x = shared @ generator.normal(size=(2, size)) + noise
        np.save(folder / f"{name}.npy", x.astype(np.float32))


@pytest.mark.parametrize("name", RUNS)
def test_the_loss_after_twenty_steps_is_the_known_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path)
    shrunk = ["trainer.max_epochs=4", "num_threads=1", "logger=csv", "~callbacks.figures"]
    # In single precision 20 steps of a contest or of an adversary amplify the last digit, which is
    # the processor's, to a hundredth. In double precision two processors agree to 1e-10.
    shrunk += ["trainer.precision=64-true", "test=false", "report=false"]
    status = main([*RUNS[name], *shrunk, "seed=0", "run_dir=run"])
    assert status == 0
    got = losses(tmp_path / "run")
    if "train/objective" in got:
        got["train/loss"] = got.pop("train/objective") * SHARES[name]
    known = json.loads(GOLDEN.read_text())[name]
    assert got == pytest.approx(known, rel=1e-6), json.dumps({name: got}, indent=2)
