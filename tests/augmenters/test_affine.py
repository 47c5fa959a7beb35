"""Affine copies: exact at known maps, independent per agent, within the limits drawn."""

from __future__ import annotations

import math

import pytest
import torch

from mixvae.augmenters.affine import Affine

STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}


def no_log_q(copies: torch.Tensor) -> torch.Tensor:
    raise AssertionError("affine copies must not ask for q(c|x)")


def fixed(angle: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Affine:
    """An augmenter whose draw is one known map."""
    augmenter = Affine(**STILL)
    cos, sin = math.cos(angle), math.sin(angle)
    map_ = torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
    augmenter.draw = lambda count, device, dtype, strength: map_.expand(count, 2, 3)
    return augmenter


def test_limits_of_zero_give_the_image_itself() -> None:
    x = torch.rand(4, 2, 9, 7)
    copies = Affine(**STILL)(x, 3, no_log_q)
    assert copies.shape == (3, 4, 2, 9, 7)
    torch.testing.assert_close(copies, x.expand(3, *x.shape), atol=1e-5, rtol=1e-5)


def test_a_quarter_turn_and_a_shift_by_one_pixel_are_exact() -> None:
    x = torch.rand(2, 1, 6, 6)
    turned = fixed(angle=math.pi / 2)(x, 1, no_log_q)[0]
    torch.testing.assert_close(turned, x.rot90(1, (2, 3)), atol=1e-5, rtol=1e-5)
    shifted = fixed(shift=(2 / 6, 0.0))(x, 1, no_log_q)[0]
    torch.testing.assert_close(shifted[..., :-1], x[..., 1:], atol=1e-5, rtol=1e-5)
    assert shifted[..., -1].abs().max() < 1e-5


def test_every_agent_and_sample_has_a_draw_of_its_own() -> None:
    x = torch.rand(1, 1, 8, 8).expand(3, 1, 8, 8)
    copies = Affine()(x, 2, no_log_q).flatten(0, 1).flatten(1)
    distance = torch.cdist(copies, copies) + torch.eye(6) * 9
    assert distance.min() > 1e-3


def test_draws_stay_within_the_limits_and_fill_them() -> None:
    augmenter = Affine(rotation=20.0, scale=0.2, shear=0.0, shift=0.1)
    maps = augmenter.draw(20_000, torch.device("cpu"), torch.float32)
    size = maps[:, 0, 0].square().add(maps[:, 1, 0].square()).sqrt()
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0]) * 180 / math.pi
    for values, limit in ((size - 1, 0.2), (angle, 20.0), (maps[:, 0, 2], 0.2)):
        assert values.abs().max().item() == pytest.approx(limit, rel=0.01)
        assert values.abs().max() <= limit * (1 + 1e-4)
        # The second moment of a uniform draw on [-limit, limit].
        assert values.square().mean().item() == pytest.approx(limit**2 / 3, rel=0.05)


def test_strength_multiplies_the_limits() -> None:
    x = torch.rand(4, 1, 9, 9)
    torch.testing.assert_close(
        Affine()(x, 2, no_log_q, 0.0), x.expand(2, *x.shape), atol=1e-5, rtol=1e-5
    )
    half = Affine(rotation=20.0).draw(5000, torch.device("cpu"), torch.float32, strength=0.5)
    angle = torch.atan2(half[:, 1, 0], half[:, 0, 0]) * 180 / math.pi
    assert angle.abs().max().item() == pytest.approx(10.0, rel=0.01)


def test_shear_moves_rows_against_each_other() -> None:
    maps = Affine(**{**STILL, "shear": 0.3}).draw(1000, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(maps[:, 1], torch.tensor([0.0, 1.0, 0.0]).expand(1000, 3))
    assert maps[:, 0, 1].abs().max().item() == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(("size", "pixels"), [(8, 0.9), (28, 1.12)])
def test_small_images_are_moved_by_most_of_a_pixel(size: int, pixels: float) -> None:
    augmenter = Affine(**{**STILL, "shift": 0.04, "least_shift": 0.9})
    across = torch.arange(float(size)).expand(2000, 1, size, size)  # a slope: a shift adds to it
    middle = augmenter(across, 1, no_log_q)[0, :, 0, size // 2, size // 2] - size // 2
    assert 0.99 * pixels < middle.abs().max() < 1.001 * pixels
