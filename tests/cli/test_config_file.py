from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.cli.config_file import close, load_config, resolved, save_config
from mixvae.cli.schema import register

register()


def test_a_saved_config_is_resolved_and_reads_back_the_same(tmp_path: Path) -> None:
    ((cfg, _),) = compose_jobs(Command(["+experiment=digits_cpl", "seed=3"]))
    cfg.run_dir = str(tmp_path)
    save_config(cfg, tmp_path / "config.yaml")
    assert str(tmp_path) not in (tmp_path / "config.yaml").read_text()
    assert resolved(load_config(tmp_path / "config.yaml")) == resolved(cfg)


def test_a_moved_config_names_its_new_folder(tmp_path: Path) -> None:
    ((cfg, _),) = compose_jobs(Command([]))
    cfg.run_dir = str(tmp_path / "before")
    (tmp_path / "after").mkdir()
    save_config(cfg, tmp_path / "after" / "config.yaml")
    read = load_config(tmp_path / "after" / "config.yaml")
    assert read.callbacks.predictions.dirpath == str(tmp_path / "after")


def test_what_takes_a_plain_value_of_the_top_level_goes_on_doing_so(tmp_path: Path) -> None:
    """A repeated run with another seed is the experiment with that seed."""
    experiment = ["+experiment=dsprites_cpl", "model.num_agents=3", "name=of_${seed}"]
    others = ["seed=2", "tags=[z]", "data_root=elsewhere", "run_dir=there"]
    ((cfg, _),) = compose_jobs(Command(experiment))
    cfg.run_dir = str(tmp_path)
    save_config(cfg, tmp_path / "config.yaml")
    saved = Command(others, config_dir=str(tmp_path), config_name="config")
    ((again, _),) = compose_jobs(saved)
    ((expected, _),) = compose_jobs(Command([*experiment, *others]))
    assert resolved(again) == resolved(expected)
    assert (again.data.seed, again.data.root) == (2, "elsewhere")
    assert (resolved(again)["name"], again.logger.wandb.tags) == ("of_2", ["z"])


def test_other_references_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "shelf")
    cfg = close(
        OmegaConf.create(
            {
                "seed": 3,
                "run_dir": str(tmp_path),
                "model": {"beta": 2.0, "weight": "${model.beta}", "chain": "${data.seed}"},
                "data": {
                    "seed": "${seed}",
                    "path": "${run_dir}/${oc.env:PLACE}",
                    "by_name": "${data.sizes.${name}}",
                    "sizes": {"default": 30},
                    "first": "${tags[0]}",
                },
                "tags": ["a"],
            }
        )
    )
    save_config(cfg, tmp_path / "config.yaml")
    saved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert saved["model"] == {"beta": 2.0, "weight": 2.0, "chain": "${seed}"}
    assert saved["data"]["path"] == "${run_dir}/shelf"
    assert (saved["data"]["by_name"], saved["data"]["first"]) == (30, "a")
    assert resolved(load_config(tmp_path / "config.yaml")) == resolved(cfg)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"sed": 1}, "unknown key 'sed'; did you mean 'seed'"),
        ({"data": {"root": "${nowhere}"}}, "data.root takes its value from nowhere"),
    ],
    ids=["key", "reference"],
)
def test_a_content_that_the_schema_refuses(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        close(OmegaConf.create(content))


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just words", "\x00"])
def test_files_that_are_no_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml"):
        load_config(tmp_path / "config.yaml")


# Of a config.yaml that mixvae wrote before its rooms were rebuilt.
OLD = """\
name: default
run_dir: null
trainer:
  _target_: lightning.pytorch.Trainer
  strategy: {_target_: mixvae.runtime.captured.CapturedStrategy}
logger:
  csv: {_target_: mixvae.runtime.csv_logger.CsvLogger, save_dir: "${run_dir}"}
  wandb: {_target_: mixvae.runtime.wandb_logger.WandbRun, name: "${name}"}
"""


def test_classes_that_moved_are_renamed_in_an_old_config(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OLD)
    cfg = load_config(tmp_path / "config.yaml")
    for node in (cfg.trainer.strategy, *cfg.logger.values()):
        assert get_object(node._target_) is not None
    assert "runtime" not in OmegaConf.to_yaml(cfg)
    assert cfg.logger.csv.save_dir == str(tmp_path)
    assert cfg.logger.wandb.name == "default"
