"""conf/callbacks/multimodal.yaml names every option with the default of its constructor."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

NAMES = ["evaluation", "evaluation.generation", "health", "predictions", "figures"]


@pytest.mark.parametrize("name", NAMES)
def test_the_options_are_those_of_the_constructor(name: str, repo_root: Path) -> None:
    path = repo_root / "conf" / "callbacks" / "multimodal.yaml"
    assert path.read_text().startswith("# purpose: ")
    node = OmegaConf.to_container(OmegaConf.select(OmegaConf.load(path), name))
    parameters = inspect.signature(get_class(node.pop("_target_"))).parameters
    assert set(node) == set(parameters)
    node.pop("dirpath", None)
    node |= {"generation": None} if name == "evaluation" else {}  # only shipped configs have it
    assert node == {key: parameters[key].default for key in node}
