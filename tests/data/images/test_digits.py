import pytest
import torch
from sklearn.datasets import load_digits

from mixvae.data import DigitsDataModule
from tests.data.conftest import collect, set_up


@pytest.fixture
def data():
    return set_up(DigitsDataModule(seed=0, batch_size=50))


def test_samples_are_those_of_scikit_learn(data):
    images, labels = load_digits(return_X_y=True)
    for split in ("train", "val", "test"):
        batch = collect(data.eval_dataloader(split))
        assert batch.x.shape[1:] == data.spec.shape == (1, 8, 8)
        assert batch.x.dtype == torch.float32
        expected = torch.from_numpy(images[batch.index] / 16).float().reshape(-1, 1, 8, 8)
        assert torch.equal(batch.x, expected)
        assert batch.label.tolist() == labels[batch.index].tolist()
        assert (batch.x.min(), batch.x.max()) == data.spec.value_range == (0.0, 1.0)


def test_splits_are_disjoint_and_cover_every_row(data):
    parts = [collect(data.eval_dataloader(split)).index for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1293, 144, 360]
    assert torch.cat(parts).sort().values.tolist() == list(range(1797))


def test_the_test_split_is_that_of_seed_0_whatever_the_seed():
    # pinned: results in the README and in experiments/ are on these rows
    for seed in (0, 1, 17):
        data = DigitsDataModule(seed=seed, val_fraction=0.2)
        data.setup()
        index = collect(data.test_dataloader()).index
        assert len(index) == 360
        assert index[:8].tolist() == [2, 12, 13, 20, 28, 38, 44, 53]
        assert int(index.sum()) == 339_627
