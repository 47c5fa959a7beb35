"""Alignment uses the counts of the epoch before: they survive a resume, weights and moments too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixvae.train import main

SMALL = (
    "+experiment=digits_cpl",
    "model.num_agents=3",
    "model.align_epochs=[1,2,3]",
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "logger=csv",
    "~callbacks.figures",
)


def test_a_run_resumed_between_alignments_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "trainer.max_epochs=4", "run_dir=whole"]) == 0
    assert main([*SMALL, "trainer.max_epochs=2", "run_dir=parts"]) == 0
    assert main(["resume=parts", "trainer.max_epochs=4"]) == 0

    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert whole["epoch"] == parts["epoch"]
    assert whole["state_dict"]["joint_counts"].any()
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, parts["state_dict"][name]), name
    states = (run["optimizer_states"][0]["state"] for run in (whole, parts))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
