from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from mixvae.callbacks.checkpoints import capture_random_state, restore_random_state


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_generators_go_on_where_they_were_also_through_a_file(tmp_path: Path) -> None:
    draw()  # half of a pair of normal numbers is now waiting in Python's and NumPy's generators
    torch.save(capture_random_state(), tmp_path / "state")
    expected = [draw(), draw()]
    restore_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert [draw(), draw()] == expected


def test_capturing_draws_nothing() -> None:
    state = capture_random_state()
    expected = draw()
    restore_random_state(state)
    capture_random_state()
    assert draw() == expected
