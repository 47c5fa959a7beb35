from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mixvae.cli.command import Command
from mixvae.cli.compose import change, compose_jobs, composing
from mixvae.cli.config_file import close
from mixvae.cli.errors import UsageError
from mixvae.cli.explain import LEFT_TO_LIGHTNING
from mixvae.cli.overrides import quoted
from mixvae.cli.requests import unquoted
from mixvae.cli.schema import NOT_COMPOSED, RunConfig, conf_dir


def configs(overrides: Sequence[str], **options: Any) -> list[DictConfig]:
    """The configs of a command's jobs."""
    return [job.cfg for job in compose_jobs(Command(list(overrides), **options))]


WRONG = {
    "top-level key": ("seeed=1", "unknown key 'seeed'; did you mean 'seed'?"),
    "key of a group": ("tau=1", "unknown key 'tau'; did you mean 'model.tau'?"),
    "group": ("modle=cpl_mixvae", "unknown key 'modle'; did you mean 'model'?"),
    "key": ("model.tua=1", "unknown key 'model.tua'; did you mean 'model.tau'?"),
    "inner group": ("callbacks.checkpoint.mode=max", "did you mean 'callbacks.checkpoints'?"),
    "deep key": ("model.optimizer.lrr=1", "did you mean 'model.optimizer.lr'?"),
    "left to Lightning": (
        "trainer.val_check_interval=5",
        "add it with a plus: +trainer.val_check_interval=5",
    ),
    "below a value": ("model.tau.x=1", "unknown key 'model.tau.x'; model.tau has no keys"),
    "list index": ("model.agents.encoder.hidden.9=1", "model.agents.encoder.hidden[9]"),
    "brackets": ("model.agents.encoder.hidden[9]=1", "hidden[9]=1 cannot be read"),
    "added at the top": ("+colour=1", "unknown key 'colour'"),
    "forced at the top": ("++colour=1", "unknown key 'colour'"),
    "left out": ("~model.tua", "did you mean 'model.tau'?"),
    "option": ("data=mnits", "data has no option 'mnits'; did you mean 'mnist'?"),
    "no near option": ("data=zzz", "data has no option 'zzz'; choose one of celeba, cells,"),
    "null option": ("logger=null", "write ~logger"),
    "twice": ("+data=digits", "data appears more than once"),
    "plus": ("+likelihood=gaussian", "likelihood is chosen without a plus: likelihood=gaussian"),
    "type": ("seed=x", "seed: Value 'x'"),
    "type of a flag": ("debug=maybe", "debug"),
    "type of a list": ("tags=one", "tags"),
    "letters": ("data_root=ü", "data_root=ü cannot be read at 'ü'; a text may need quotes"),
    "quoted names": (
        'data={"a": b}',
        "no quotes, and texts may need them: data={name: '...'}",
    ),
    "home in a mapping": ("data={a: ~/b, c: d}", "cannot be read at '~/b, c: d}'; names take no"),
    "home in a list": ("tags=[~/b]", "at '~/b]'; a text in a list may need quotes: tags=['...']"),
    "hydra's key": ("hydra.colour=1", "hydra.colour"),
    "hydra's folders": ("hydra.searchpath=[file:///tmp]", "by --config-dir FOLDER"),
    "hydra's option": ("hydra/launcher=clever", "hydra/launcher"),
    "reference": ("name=${nothing}", "name"),
    "mandatory": ("model.tau=???", "model.tau has no value"),
    "unknown path": ("data/fast=digits", "unknown key 'data/fast'"),
}


@pytest.mark.parametrize(("override", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_override_is_told_with_the_nearest_right_one(override: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        configs([override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_in_a_sweep_every_job_is_checked() -> None:
    with pytest.raises(UsageError, match="'mnits'"):
        configs(["data=digits,mnits"], multirun=True)
    with pytest.raises(UsageError, match="seed: Value 'x'"):
        configs(["seed=0,x"], multirun=True)
    with pytest.raises(UsageError, match="is not a list of values"):
        configs(["model.beta=interval(0,1)"], multirun=True)


@pytest.mark.parametrize("override", ["~logger", "resume=null", "+trainer.val_check_interval=5"])
def test_what_is_right_passes(override: str) -> None:
    assert len(configs([override])) == 1


def test_a_sweep_is_a_config_per_job() -> None:
    jobs = configs(["seed=0,1", "model.tau=0.1,0.2,1"], multirun=True)
    assert [(job.seed, job.model.tau) for job in jobs] == [
        (seed, tau) for seed in (0, 1) for tau in (0.1, 0.2, 1)
    ]
    experiments = configs(["+experiment=glob(digits_cp*)"], multirun=True)
    assert [job.name for job in experiments] == ["digits_cpl"]


def test_a_likelihood_replaces_the_experiment_s_and_decodes_in_the_unit_of_the_data() -> None:
    counts = ["+experiment=cells_cpl", "data.counts_layer=counts"]
    for name, sums in (("negative_binomial", 1e4), ("zinb", 3e5), ("zinb", "median")):
        (job,) = configs([*counts, f"likelihood={name}", f"data.target_sum={sums}"])
        found = OmegaConf.to_container(job.model.likelihood, resolve=True)
        assert isinstance(found, dict)
        assert set(found) == {"_target_", "target_sum"}
        assert found["target_sum"] == sums


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.num_agents=5", "+experiment=digits_cpl", "seed=3"],
        ["trainer.max_epochs=1", "trainer=ddp_cpu", "trainer.devices=2", "~callbacks.figures"],
        ["+trainer.min_steps=1", "++trainer.min_steps=2", "model.agents.encoder.hidden=[3,4]"],
        ["+experiment=digits_order", "model.coupling_weight=${model.beta}", "data_root=a"],
    ],
    ids=str,
)
def test_values_are_set_as_hydra_sets_them(overrides: list[str]) -> None:
    (job,) = configs(overrides)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        expected = close(compose("train", overrides=overrides))
    assert OmegaConf.to_container(job, resolve=False) == OmegaConf.to_container(
        expected, resolve=False
    )


def test_what_is_left_to_lightning_is_an_argument_of_its_trainer() -> None:
    from lightning.pytorch import Trainer

    assert set(LEFT_TO_LIGHTNING) <= set(inspect.signature(Trainer).parameters)
    (cfg,) = configs([])
    assert not set(LEFT_TO_LIGHTNING) & set(cfg.trainer)


@pytest.mark.parametrize("text", ["plain", "R/it s", "it's", "\"a\" and 'b'", "it's, 'ü'", "a\\"])
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    assert OverridesParser.create().parse_override(f"name={quoted(text)}").value() == text
    assert unquoted(text) == text


def test_a_value_of_one_job_is_not_the_next_one_s() -> None:
    first, second = configs(["+trainer.min_steps=1,2", "~callbacks.figures"], multirun=True)
    assert (first.trainer.min_steps, second.trainer.min_steps) == (1, 2)
    (later,) = configs([])
    assert "min_steps" not in later.trainer
    assert "figures" in later.callbacks


@pytest.mark.parametrize("name", ["mine", "it's, 'ü'", "a [b] {c} = d\\"])
def test_a_config_folder_of_the_user(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "experiment").mkdir(parents=True)
    file = tmp_path / name / "experiment" / "mine.yaml"
    for seed in (9, 10):  # edited between two runs of one process
        file.write_text(f"# @package _global_\nseed: {seed}\n")
        (job,) = configs(["+experiment=mine"], config_dir=str(tmp_path / name))
        assert job.seed == seed


@pytest.mark.slow
def test_every_shipped_config_composes() -> None:
    with composing(Command()) as root:
        for file in sorted(conf_dir().glob("*/*.yaml")):
            group = file.parent.name
            if group in NOT_COMPOSED:  # searches are for mixvae.sweep, dashboards for W&B
                continue
            sign = "+" if group == "experiment" else ""
            # Those of counts decode in the unit that cells have.
            data = ["data=cells"] if file.stem in ("negative_binomial", "zinb") else []
            cfg = close(compose(root.name, overrides=[f"{sign}{group}={file.stem}", *data]))
            assert set(cfg) == set(RunConfig.__dataclass_fields__)


def test_every_shipped_config_says_its_purpose() -> None:
    from mixvae.cli.help_text import purpose

    silent = [str(file) for file in conf_dir().rglob("*.yaml") if not purpose(file)]
    assert silent == []


def test_overrides_of_an_earlier_config() -> None:
    (job,) = configs(["seed=5"])
    cfg = OmegaConf.create(OmegaConf.to_container(job, resolve=True))
    changed = close(change(close(cfg), ["data=mnist", "data_root=here", "data.download=false"]))
    assert changed.data.root == "here"
    assert changed.data.seed == 5
    assert not changed.data.download
    assert changed.model == job.model
    for wrong in ("data.rooot=1", "~data.root", "data=none"):
        with pytest.raises(UsageError):
            change(changed, [wrong])
