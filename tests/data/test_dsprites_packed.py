import numpy as np
import torch

from mixvae.data.dsprites_packed import PackedImages


def test_a_batch_is_what_was_packed():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 2, (9, 1, 8, 16), dtype=np.uint8)
    packed = torch.from_numpy(np.packbits(pixels.reshape(9, -1), axis=1))
    label, rows = torch.arange(9) % 3, torch.arange(9) * 10
    factors = torch.stack([label, rows], dim=1)
    images = PackedImages(packed, (1, 8, 16), label, factors, rows)
    chosen = torch.tensor([7, 0, 7])
    for tensors in (images, images.to(torch.device("cpu")), images.at_epoch(3)):
        batch = tensors.batch(chosen)
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x, torch.from_numpy(pixels)[chosen].float())
        assert batch.label.tolist() == [1, 0, 1]
        assert batch.index.tolist() == [70, 0, 70]
        assert torch.equal(batch.factors, factors[chosen])
        assert batch.counts is None
