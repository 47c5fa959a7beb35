from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from mixvae.engine.randomness import seed_run


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_the_same_seed_gives_the_same_numbers(seed: int) -> None:
    seed_run(seed)
    first = draw()
    seed_run(seed)
    assert draw() == first
    seed_run((seed + 1) % 2**32)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


def test_the_number_of_threads() -> None:
    seed_run(0, num_threads=2)
    assert torch.get_num_threads() == 2
    seed_run(0)
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="num_threads must be 1 or more"):
        seed_run(0, num_threads=0)


def test_new_memory_is_not_filled() -> None:
    torch.utils.deterministic.fill_uninitialized_memory = True
    seed_run(0)
    assert not torch.utils.deterministic.fill_uninitialized_memory
