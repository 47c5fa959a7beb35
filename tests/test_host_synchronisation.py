"""A training step never makes the CPU wait for the device, which on a GPU costs more than its work.

Tensors on the meta device have no values: whatever needs one on the host (`item`, a mask as an
index, a branch on a tensor) fails there. A tensor made on the CPU on the way, such as the index
that a list of numbers becomes, fails by `Watched`: to be copied, it makes the CPU wait as well.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixvae.cli.schema import register
from mixvae.modules.base import AbstractModule
from mixvae.runs.build import build
from tests.composed import composed

register()

# A number for beta: `auto` trains models to choose one, which is not a step.
FEW_TRIALS = ("data.simulator.num_trials=90", "data.simulator.num_bins=300", "model.beta=1.0")
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
    ("mnist_info_gan_paper", "data=digits", "model.agents.encoder.trunk.channels=[4,4]"),
    ("digits_augmenter",),
    *(
        ("hippocampus_mmvm", f"model={name}", *FEW_TRIALS)
        for name in ("mmvm", "avg", "poe", "moe", "mopoe", "mmvae_plus")
    ),
    ("hippocampus_mmvm", "model.kl=mixture", *FEW_TRIALS),
]


class Watched(TorchDispatchMode):
    """Refuse operations between the device and the CPU; a number beside a tensor is none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        # A kernel takes a tensor of no dimension as a number, unless it is copied to the device.
        copies = "copy" in str(func)
        kinds = {tensor.device.type for tensor in tensors if copies or tensor.dim() > 0}
        assert kinds != {"cpu", "meta"}, f"{func} is given a tensor of the CPU"
        return out


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
    cfg = composed(words)
    parts = build(cfg)
    batch = next(iter(parts.data.train_dataloader()))
    model = parts.model.to("meta").train()
    monkeypatch.setattr(type(model), "epoch", property(lambda self: LATE))
    # The meta device has no mixed precision to be switched off.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    torch.use_deterministic_algorithms(False)
    assert isinstance(model, AbstractModule)
    held = on_meta(batch)
    with Watched():
        loss = model.training_step(held, 0)["loss"]
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
