"""The files in conf/data say what the constructors say."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_a_config_names_its_purpose_and_repeats_the_defaults(name):
    path = CONF / f"{name}.yaml"
    assert path.read_text().startswith("# purpose: ")
    cfg = OmegaConf.create({"seed": 3, "data_root": None, "data": OmegaConf.load(path)})
    data = OmegaConf.to_container(cfg.data, resolve=True)
    parameters = inspect.signature(get_class(data.pop("_target_"))).parameters
    assert data.pop("seed") == 3
    assert data == {key: parameters[key].default for key in data}
    # mirrors are a list that nobody overrides from a command line
    assert set(parameters) - set(data) <= {"seed", "mirrors"}
    module = instantiate(cfg.data)
    assert module.spec.name == name
    assert module.seed == 3
