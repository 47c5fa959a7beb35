from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mixvae.cli.schema import register
from mixvae.engine import processor
from mixvae.runs.build import build_trainer
from tests.composed import composed

register()


@pytest.mark.parametrize(
    ("text", "emulates"),
    [
        ("model name : a\nflags : fpu avx512f avx512_bf16\n", False),
        ("flags : fpu avx512f avx512_vnni\n", True),
        ("Features : fp asimd bf16\n", False),
        ("Features : fp asimd\n", True),
        ("model name : a\n", False),
        (None, False),
    ],
)
def test_a_processor_says_whether_it_has_bf16(
    text: str | None, emulates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    if text is not None:
        info.write_text(text)
    monkeypatch.setattr(processor, "CPU_INFO", info)
    assert processor.emulates_bf16() == emulates


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
