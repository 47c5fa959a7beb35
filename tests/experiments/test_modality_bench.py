import json
from pathlib import Path

import pytest
import torch

from experiments import modality_bench
from mixvae.objectives.mixture_prior import pairwise_kl


def test_the_loop_is_what_the_linear_form_computes() -> None:
    mean, logvar = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(modality_bench.loop_kl(mean, logvar), pairwise_kl(mean, logvar))


def test_the_command_writes_json_and_markdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--modalities", "2", "21", "--rounds", "1", "--seconds", "0"]
    modality_bench.main([*command, "--out", str(tmp_path)])
    few, many = json.loads((tmp_path / "modalities.json").read_text())["rows"]
    assert few["case"] == "M=2"
    assert few["pairwise ms"] > 0
    assert few["loop ms"] > 0
    assert many["loop ms"] == "-"
    page = (tmp_path / "modalities.md").read_text()
    assert "| M=21 | - |" in page
    assert page.strip() in capsys.readouterr().out
