"""Networks of images and texts: shapes of any size, and which modality has which."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.networks.modality_images import ImageDecoder, ImageEncoder
from mixvae.networks.modality_texts import TextDecoder, TextEncoder

VECTORS = {
    "encoder": partial(ModalityEncoder, hidden=[4]),
    "decoder": partial(ModalityDecoder, hidden=[4]),
}
IMAGES = {
    "encoder": partial(ImageEncoder, width=2, max_width=4),
    "decoder": partial(ImageDecoder, width=2, max_width=4),
}
TEXTS = {
    "encoder": partial(TextEncoder, embedding=3, width=4),
    "decoder": partial(TextDecoder, embedding=3, width=4),
}


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (3, 28, 28), (8, 9), (1, 33, 17), (3, 64, 64), (1, 224, 224)]
)
def test_images_of_every_size_come_back_in_their_shape(shape, residual):
    encoder = ImageEncoder(shape, 5, width=2, max_width=4, residual=residual)
    decoder = ImageDecoder(shape, 5, width=2, max_width=4, residual=residual)
    mean, logvar = encoder(torch.randn(2, *shape))
    assert mean.shape == logvar.shape == (2, 5)
    assert (logvar.abs() <= 10).all()
    assert decoder(mean).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(1, 3), (5, 7), (32, 41), (72, 30)])
def test_texts_of_every_length_come_back_in_their_shape(shape):
    encoder, decoder = (part(shape, 5, embedding=3, width=4) for part in (TextEncoder, TextDecoder))
    mean, logvar = encoder(torch.rand(2, *shape))
    assert mean.shape == logvar.shape == (2, 5)
    assert decoder(mean).shape == (2, *shape)


@pytest.mark.parametrize("kind", ["image", "tokens"])
def test_every_weight_has_a_gradient(kind):
    shape = (3, 20, 20) if kind == "image" else (9, 6)
    parts = IMAGES if kind == "image" else TEXTS
    encoder, decoder = (parts[name](shape=shape, latent_dim=4) for name in ("encoder", "decoder"))
    mean, logvar = encoder(torch.randn(3, *shape))
    decoder(mean + logvar).square().sum().backward()
    for weight in [*encoder.parameters(), *decoder.parameters()]:
        assert weight.grad is not None
        assert (weight.grad != 0).any()


def networks(**own) -> ModalityNetworks:
    kinds = {"x": "vector", "picture": "image", "caption": "tokens"}
    shapes = [(5,), (3, 8, 8), (6, 7)]
    return ModalityNetworks(shapes, 2, **VECTORS, kinds=kinds, **own)


def test_kinds_and_names_choose_the_networks():
    plain = networks()
    assert {type(part) for part in plain.encoders} == {ModalityEncoder}
    by_kind = networks(image=IMAGES, tokens=TEXTS)
    assert [type(part) for part in by_kind.encoders] == [ModalityEncoder, ImageEncoder, TextEncoder]
    assert [type(part) for part in by_kind.decoders] == [ModalityDecoder, ImageDecoder, TextDecoder]
    by_name = networks(image=IMAGES, tokens="vector", picture="vector", caption=TEXTS)
    assert [type(part) for part in by_name.encoders] == [
        *(ModalityEncoder, ModalityEncoder, TextEncoder)
    ]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"pictur": IMAGES}, "unknown key 'model.networks.pictur'.*picture"),
        ({"picture": "conv"}, "model.networks.picture is 'conv'; it must be one of vector"),
        ({"picture": {"encoder": IMAGES["encoder"]}}, "model.networks.picture needs encoder and"),
        ({"image": IMAGES, "x": "image"}, r"networks of images need .* got \(5,\)"),
        ({"tokens": TEXTS, "x": "tokens"}, r"networks of tokens need .* got \(5,\)"),
    ],
)
def test_networks_that_do_not_fit_are_refused(own, message):
    with pytest.raises(ValueError, match=message):
        networks(**own)


def test_a_width_above_the_largest_is_refused():
    with pytest.raises(ValueError, match="width is 8; it must be 1 to max_width, 4"):
        ImageEncoder((1, 8, 8), 2, width=8, max_width=4)
