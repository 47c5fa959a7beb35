"""The centred encoder sees the same whatever the place and the size, and says both."""

import pytest
import torch

from mixvae.networks.centred import CentredEncoder

A, B = 2, 3
SHAPE = (1, 32, 32)


@pytest.fixture
def encoder() -> CentredEncoder:
    return CentredEncoder(A, SHAPE, hidden=(8, 5), size=16, share=0.5).double()


def blob(row: int, column: int, side: int) -> torch.Tensor:
    """A rectangle with a notch, its upper left corner at a place."""
    image = torch.zeros(1, *SHAPE, dtype=torch.float64)
    image[0, 0, row : row + side, column : column + side] = 1
    image[0, 0, row : row + side // 2, column : column + side // 2] = 0
    return image


def test_pose_is_the_centre_of_mass_and_the_mass(encoder):
    image = torch.zeros(1, *SHAPE, dtype=torch.float64)
    image[0, 0, 8:12, 16:32] = 1
    x, y, size = encoder.pose(image)[0]
    # columns 16 to 32 of 32 lie at 0 to 1 from the middle, rows 8 to 12 at -1/2 to -1/4
    assert x.item() == pytest.approx(2 * 0.5)
    assert y.item() == pytest.approx(2 * -0.375)
    assert size.item() == pytest.approx(0.5 * torch.tensor(64 / 1024).log().item())


def test_what_is_cut_does_not_depend_on_the_place(encoder):
    images = torch.cat([blob(4, 4, 8), blob(17, 9, 8), blob(0, 24, 8)])
    cuts = encoder.cut(images, encoder.pose(images))
    torch.testing.assert_close(cuts[1], cuts[0])
    torch.testing.assert_close(cuts[2], cuts[0])


def test_what_is_cut_does_not_depend_on_the_size(encoder):
    images = torch.cat([blob(4, 4, 16), blob(17, 9, 8)])
    large, small = encoder.cut(images, encoder.pose(images))
    # the mass is share^2 of the cut image, up to the softness of the borders
    expected = (0.5 * 16) ** 2
    assert large.sum().item() == pytest.approx(expected, rel=0.08)
    assert small.sum().item() == pytest.approx(expected, rel=0.08)
    assert (large - small).abs().mean() < 0.05


def test_features_hold_the_pose_and_agents_see_their_own_copies(encoder):
    encoder.eval()
    shared = torch.cat([blob(4, 4, 8), blob(17, 9, 8), blob(0, 24, 10)])
    features = encoder(shared)
    assert features.shape == (A, B, encoder.out_features) == (A, B, 8)
    torch.testing.assert_close(encoder(shared.expand(A, *shared.shape)), features)
    pose = encoder.pose(shared)
    for agent in range(A):
        torch.testing.assert_close(features[agent, :, -3:], pose)
    own = torch.stack([shared, shared.flip(0)])
    torch.testing.assert_close(encoder(own)[1], features[1].flip(0))


def test_an_empty_image_and_an_outlying_one_have_finite_features_and_gradients(encoder):
    images = torch.cat([torch.zeros(1, *SHAPE), -torch.ones(1, *SHAPE), blob(0, 0, 1)]).double()
    images.requires_grad_()
    features = encoder(images)
    features.square().sum().backward()
    assert features.isfinite().all()
    assert images.grad.isfinite().all()
