from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

Train = Callable[..., Any]

REFUSED = {
    "checkpointing": ("+trainer.enable_checkpointing=false", "say ~callbacks.checkpoints"),
    "callbacks": ("+trainer.callbacks=[]", "trainer.callbacks has no effect here"),
    "plugins": ("+trainer.plugins=[]", "trainer.plugins has no effect here"),
    "validation": ("trainer.check_val_every_n_epoch=0", "check_val_every_n_epoch must be 1"),
    "fork": ("+trainer.strategy=ddp_fork", "use trainer=ddp"),
    "schedule": ("model=cascade_vae model.state_dim=10", "model.dimension_epochs is 1"),
    "few samples": (
        "model=beta_vae model.num_categories=2000",
        "more than the 1293 training samples",
    ),
}


@pytest.mark.parametrize(("override", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_not_do_what_it_says_is_refused_before_anything_is_made(
    train: Train, small: Sequence[str], tmp_path: Path, override: str, message: str
) -> None:
    outcome = train(*small, *override.split())
    assert outcome.status == 1
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


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
