"""Every variant names settings that exist."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from experiments.cells_ablation import VARIANTS
from mixvae.cli.schema import conf_dir, register


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_can_be_composed(variant: str) -> None:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", ["+experiment=cells_synthetic_cpl", *VARIANTS[variant]])
    assert config.name == "cells_synthetic_cpl"
