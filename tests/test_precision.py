"""bf16 mixed precision trains as well as float32."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from mixvae.engine.devices import emulates_bf16
from mixvae.train import main

SEEDS = (0, 1, 2)


@pytest.mark.slow
@pytest.mark.skipif(emulates_bf16(), reason="emulated bf16 would take a quarter of an hour")
def test_digits_are_told_apart_as_well_in_bf16_as_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    accuracy: dict[str, list[float]] = {"32-true": [], "bf16-mixed": []}
    for precision, values in accuracy.items():
        for seed in SEEDS:
            run = f"{precision}_{seed}"
            status = main(
                [
                    "+experiment=digits_cpl",
                    f"trainer.precision={precision}",
                    f"seed={seed}",
                    f"run_dir={run}",
                    "logger=csv",
                    "~callbacks.figures",
                ]
            )
            assert status == 0
            values.append(json.loads(Path(run, "summary.json").read_text())["test/accuracy"])
    means = {precision: statistics.fmean(values) for precision, values in accuracy.items()}
    print(f"digits, test accuracy over seeds {SEEDS}: {means}")
    assert means["32-true"] > 0.94
    # A sample of 360 is a step of .003.
    assert means["bf16-mixed"] > means["32-true"] - 0.01
