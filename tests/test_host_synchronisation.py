"""A training step never makes the CPU wait for the device, which on a GPU costs more than its work.

Tensors on the meta device have no values: whatever needs one on the host (`item`, a mask as an
index, a branch on a tensor) fails there, and so does a tensor made on the CPU on the way.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mixvae.modules.base import AbstractModule
from mixvae.runtime.build import build
from mixvae.runtime.overrides import check_command_line
from mixvae.runtime.schema import register

register()

LATE = 7.0  # an epoch at which no weight of these experiments is 0
STEPS = [
    ("digits_cpl",),
    ("digits_cpl", "networks=conv"),
    ("digits_cpl", "augmenter=adversarial"),
    ("digits_cpl", "augmenter=noise", "model.coupling=aitchison", "model.straight_through=true"),
    *(
        (f"digits_{name}",)
        for name in ("mix_vae", "joint_vae", "info_gan", "vade", "gmvae", "beta_vae", "imsat")
    ),
    ("digits_augmenter",),
    *(
        ("hippocampus_mmvm", f"model={name}")
        for name in ("mmvm", "avg", "poe", "moe", "mopoe", "mmvae_plus")
    ),
    ("hippocampus_mmvm", "model.kl=mixture"),
]


def on_meta(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(on_meta, value))
    if isinstance(value, tuple):
        return tuple(map(on_meta, value))
    return value.to("meta") if isinstance(value, Tensor) else value


def step(overrides: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward and a backward pass on the meta device."""
    experiment, *others = overrides
    words = [f"+experiment={experiment}", *others, "logger=csv", f"run_dir={folder / 'run'}"]
    (cfg,) = check_command_line(words)
    parts = build(cfg)
    batch = next(iter(parts.data.train_dataloader()))
    model = parts.model.to("meta").train()
    monkeypatch.setattr(type(model), "epoch", property(lambda self: LATE))
    # The meta device has no mixed precision to be switched off.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    torch.use_deterministic_algorithms(False)
    assert isinstance(model, AbstractModule)
    loss = model.training_step(on_meta(batch), 0)["loss"]
    assert loss.device.type == "meta"
    loss.backward()


@pytest.mark.parametrize("overrides", STEPS, ids=" ".join)
def test_a_step_does_not_read_the_device(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(overrides, tmp_path, monkeypatch)


def test_cascade_vae_assigns_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotImplementedError, match="nonzero"):
        step(("digits_cascade_vae",), tmp_path, monkeypatch)
