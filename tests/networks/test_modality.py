"""Networks of several modalities: shapes, sizes, bounds."""

from __future__ import annotations

from functools import partial

import torch

from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks

SHAPES = [(6,), (3, 4), (1,)]
NETWORKS = partial(
    ModalityNetworks,
    encoder=partial(ModalityEncoder, hidden=(8, 5)),
    decoder=partial(ModalityDecoder, hidden=(5,)),
)


def test_shapes_in_shapes_out() -> None:
    networks = NETWORKS(shapes=SHAPES, latent_dim=2)
    mean, logvar = networks.encode([torch.randn(7, *shape) for shape in SHAPES])
    assert mean.shape == logvar.shape == (3, 7, 2)
    for m, shape in enumerate(SHAPES):
        assert networks.decode(torch.randn(9, 2), m).shape == (9, *shape)


def test_none_gives_the_papers_widths() -> None:
    encoder, decoder = ModalityEncoder((3, 4), 2), ModalityDecoder((3, 4), 2)
    sizes = [tuple(layer.weight.shape) for layer in (encoder.layers[0], encoder.layers[2])]
    assert sizes == [(12, 12), (12, 12)]
    assert encoder.head.weight.shape == (4, 12)
    assert [tuple(decoder.layers[i].weight.shape) for i in (0, 2, 4)] == [
        (12, 2),
        (12, 12),
        (12, 12),
    ]


def test_the_log_variance_is_bounded() -> None:
    encoder = ModalityEncoder((4,), 2, hidden=[8])
    _, logvar = encoder(1e8 * torch.randn(100, 4))
    assert logvar.abs().max() <= 10
    assert logvar.abs().max() > 9


def test_modalities_share_nothing() -> None:
    networks = NETWORKS(shapes=SHAPES, latent_dim=2)
    mean, _ = networks.encode([torch.randn(7, *shape) for shape in SHAPES])
    mean[1].sum().backward()
    for name, parameter in networks.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        assert moved == name.startswith("encoders.1."), name


def test_posteriors_are_float32_under_mixed_precision() -> None:
    encoder = ModalityEncoder((4,), 2, hidden=[8])
    with torch.autocast("cpu", torch.bfloat16):
        mean, logvar = encoder(torch.randn(5, 4))
    assert mean.dtype == logvar.dtype == torch.float32
