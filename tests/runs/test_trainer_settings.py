from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

Train = Callable[..., Any]


def test_gradients_are_clipped_in_mixed_precision(
    train: Train, small: Sequence[str], tmp_path: Path
) -> None:
    settings = ("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1")
    outcome = train(*small, *settings, "run_dir=a", "trainer.max_epochs=1")
    assert outcome.status == 0, outcome.err
    assert "model.optimizer.fused=false: trainer.gradient_clip_val with" in outcome.err
    config = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
    assert config["model"]["optimizer"]["fused"] is False
    assert train("resume=a", "trainer.max_epochs=2").status == 0


def test_the_report_of_a_profiler_is_printed(
    train: Train, small: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    outcome = train(*small, "+trainer.profiler=simple", "trainer.max_epochs=1")
    assert outcome.status == 0, outcome.err
    assert "Profiler Report" in outcome.out + outcome.err + caplog.text
