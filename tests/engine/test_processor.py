from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixvae.cli.schema import register
from mixvae.engine import devices
from mixvae.runs.build import build_trainer
from tests.composed import composed

Train = Callable[..., Any]

register()


@pytest.mark.parametrize(
    ("text", "emulates", "has"),
    [
        ("model name : a\nflags : fpu avx512f avx512_bf16\n", False, True),
        ("flags : fpu avx512f avx512_vnni\n", True, False),
        ("Features : fp asimd bf16\n", False, True),
        ("Features : fp asimd\n", True, False),
        ("model name : a\n", False, False),
        (None, False, False),
    ],
)
def test_a_processor_says_whether_it_has_bf16(
    text: str | None, emulates: bool, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    if text is not None:
        info.write_text(text)
    monkeypatch.setattr(devices, "CPU_INFO", info)
    assert devices.emulates_bf16() == emulates
    for is_faster in (True, False):
        monkeypatch.setattr(devices, "_is_faster_in_bf16", lambda told=is_faster: told)
        assert devices.has_bf16("cpu") == (has and is_faster)
    assert not devices.has_bf16("mps")


@pytest.mark.parametrize("emulates", [True, False])
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_emulated_bf16_is_told(
    precision: str,
    emulates: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("mixvae.runs.build.emulates_bf16", lambda: emulates)
    words = [f"trainer.precision={precision}", f"run_dir={tmp_path}", "logger=csv"]
    cfg = composed(words)
    with caplog.at_level(logging.WARNING):
        build_trainer(cfg)
    told = "no bf16 arithmetic" in caplog.text
    assert told == (emulates and precision == "bf16-mixed")


@pytest.mark.parametrize(
    ("tested", "has", "chosen"),
    [(True, True, "bf16-mixed"), (True, False, "32-true"), (False, True, "32-true")],
)
def test_auto_takes_bf16_where_both_the_device_and_the_experiment_allow_it(
    tested: bool, has: bool, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixvae.runs.trainer_settings.has_bf16", lambda accelerator: has)
    monkeypatch.setattr("mixvae.runs.build.emulates_bf16", lambda: not has)
    words = ["trainer.precision=auto", f"bf16_tested={tested}", f"run_dir={tmp_path}", "logger=csv"]
    cfg = composed(words)
    assert build_trainer(cfg).precision == cfg.trainer.precision == chosen


def test_auto_is_told_in_config_and_summary_and_a_resumed_run_keeps_it(
    train: Train, small: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here on a processor without bf16; the resumed run meets one that has it."""
    monkeypatch.setattr(devices, "_cpu_has_bf16", lambda: False)
    words = ("trainer.precision=auto", "bf16_tested=true", "trainer.max_epochs=1", "run_dir=a")
    outcome = train(*small, *words)
    assert outcome.status == 0, outcome.err
    assert (
        "trainer.precision=auto: 32-true, as the device has no fast bf16 arithmetic" in outcome.err
    )
    assert yaml.safe_load((tmp_path / "a/config.yaml").read_text())["trainer"]["precision"] == (
        "32-true"
    )
    monkeypatch.setattr(devices, "_cpu_has_bf16", lambda: True)
    assert train("resume=a", "trainer.max_epochs=2").status == 0
    assert json.loads((tmp_path / "a/summary.json").read_text())["precision"] == "32-true"
