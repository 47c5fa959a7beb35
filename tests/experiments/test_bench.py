import json
import time
from pathlib import Path

import pytest
import torch

from experiments import bench

CPU = torch.device("cpu")


def test_ratios_say_how_many_times_faster_ours_is() -> None:
    cases = {"slow": lambda: time.sleep(0.03), "fast": lambda: time.sleep(0.01)}
    row = bench.compare(cases, samples=6, rounds=3, seconds=0.0, device=CPU)
    assert row["wall ratio"] == pytest.approx(3, rel=0.5)
    assert row["slow samples per wall second"] == pytest.approx(200, rel=0.5)
    assert row["repeats"] == {"slow": 1, "fast": 1}


def test_each_round_measures_both_in_alternating_order() -> None:
    calls: list[str] = []
    cases = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    bench.compare(cases, samples=1, rounds=3, seconds=0.0, device=CPU)
    warm_up, measured = calls[:4], calls[4:]
    assert warm_up == ["a", "a", "b", "b"]
    assert measured == ["a", "b", "b", "a", "a", "b"]


def test_the_command_writes_json_and_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = bench.SIZES["mnist"]._replace(features=12, batch_size=8, encoder=(6,), decoder=(6,))
    monkeypatch.setitem(bench.SIZES, "mnist", small)
    command = ["training", "--sizes", "mnist", "--agents", "2", "--rounds", "1"]
    bench.main([*command, "--seconds", "0", "--threads", "1", "--out", str(tmp_path)])
    content = json.loads((tmp_path / "training.json").read_text())
    assert content["setting"]["threads"] == 1
    (row,) = content["rows"]
    assert row["case"] == "mnist, A=2, B=8"
    assert row["wall ratio"] > 0
    page = (tmp_path / "training.md").read_text()
    assert "| mnist, A=2, B=8 |" in page
    assert page in capsys.readouterr().out


def test_both_loaders_yield_every_sample_once() -> None:
    pair = bench.loading_pair(512, 6, "uint8")
    seen = {}
    for name, case in pair.items():
        batches = [[part.clone() for part in batch[:3]] for batch in case.args[0]]
        index = torch.cat([batch[2] for batch in batches])
        x = torch.cat([batch[0] for batch in batches])
        assert sorted(index.tolist()) == list(range(512))
        seen[name] = x[index.argsort()]
    torch.testing.assert_close(seen["mixvae"], seen["DataLoader"])
