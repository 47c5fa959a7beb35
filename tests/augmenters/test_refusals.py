"""Settings and data that an augmenter cannot take are refused by name and value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan
from pathlib import Path

import pytest
import torch

from mixvae.augmenters.adversarial import Adversarial
from mixvae.augmenters.affine import Affine
from mixvae.augmenters.learned import Learned
from mixvae.augmenters.noise import Noise

REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (partial(Adversarial, radius=0.0), ValueError, "radius .* got 0"),
    (partial(Adversarial, xi=-1.0), ValueError, "xi .* got -1"),
    (partial(Adversarial, neighbour=0), ValueError, "neighbour .* got 0"),
    (partial(Adversarial, num_power_steps=0), ValueError, "num_power_steps .* got 0"),
    (partial(Affine, rotation=-1.0), ValueError, "rotation.*-1"),
    (partial(Affine, scale=1.0), ValueError, "got 1.0"),
    (partial(Affine(), torch.rand(4, 5), 2, lambda x: x), ValueError, r"images.*\(5,\)"),
    (partial(Noise, -0.1), ValueError, r"got -0\.1"),
    *((partial(Learned, "a", bad), ValueError, "augmenter.scale") for bad in (-1.0, nan, inf)),
    (partial(Learned, None), ValueError, "needs a trained augmenter"),
    (partial(Learned, ""), ValueError, "needs a trained augmenter"),
    (partial(Learned, "none"), FileNotFoundError, "none"),
    (partial(Learned, "."), FileNotFoundError, r"checkpoints/best\.ckpt"),
]


@pytest.mark.parametrize(("build", "error", "message"), REFUSED)
def test_bad_settings(
    build: Callable[[], object],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        build()
