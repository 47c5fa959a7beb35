"""The files in conf/data repeat the defaults of the constructors."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

import mixvae.data

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
ALIKE = {"cells_10k", "cells_synthetic_10k"}  # these change one value of another file
NEEDED = {"multimodal": {"modalities": {"a": "a.npy", "b": "b.npz"}}}
# The targets of the configs at e21c05a, which run folders name.
TARGETS = (
    "CellDataModule SyntheticCellsDataModule DigitsDataModule DSpritesDataModule RatSimulator"
    " RenderedDSpritesDataModule HippocampusDataModule MNISTDataModule MultimodalDataModule"
)


def defaults_of(module: type) -> dict[str, object]:
    """Defaults of a constructor and of those above it, to which it passes its `**` on."""
    found: dict[str, object] = {}
    for one in module.__mro__:
        if one.__module__.startswith("mixvae.") and "__init__" in vars(one):
            for name, parameter in list(inspect.signature(one.__init__).parameters.items())[1:]:
                # positional-only ones are for subclasses alone
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                    found.setdefault(name, parameter.default)
    return found


@pytest.mark.parametrize("name", sorted({path.stem for path in CONF.glob("*.yaml")} - ALIKE))
def test_a_config_names_its_purpose_and_repeats_the_defaults(name):
    path = CONF / f"{name}.yaml"
    assert path.read_text().startswith("# purpose: ")
    cfg = OmegaConf.create({"seed": 3, "data_root": None, "data": OmegaConf.load(path)})
    data = OmegaConf.to_container(cfg.data, resolve=True)
    module = get_class(data.pop("_target_"))
    defaults = defaults_of(module)
    # mirrors are a list that nobody overrides from a command line
    assert set(defaults) - set(data) <= {"mirrors"}
    given = {"seed": 3, **NEEDED.get(name, {})}
    built, default = instantiate(cfg.data, _convert_="all", **given), module(**given)
    for key, value in vars(default).items():
        assert key.startswith("_") or getattr(built, key) == value, key
    for key, value in data.items():
        plain = isinstance(value, int | float | str | None)
        assert not plain or key == "seed" or value == defaults[key], key


@pytest.mark.parametrize("name", TARGETS.split())
def test_the_targets_of_earlier_run_folders_are_importable(name):
    assert get_class(f"mixvae.data.{name}") is getattr(mixvae.data, name)
