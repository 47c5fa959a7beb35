"""Which numbers are widened, and that others are left alone."""

from __future__ import annotations

import pytest
import torch

from mixvae.objectives.precision import at_least_single


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_becomes_single(dtype: torch.dtype) -> None:
    x = torch.randn(3).to(dtype)
    assert at_least_single(x).dtype == torch.float32
    assert torch.equal(at_least_single(x).to(dtype), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_numbers_are_returned_themselves(dtype: torch.dtype) -> None:
    x = torch.randn(3, dtype=dtype)
    assert at_least_single(x) is x
