import torch
from torch.utils.data import DataLoader

from mixvae.callbacks.disentanglement import Disentanglement
from mixvae.contracts import Batch

NAMES = {
    "test/factor_vae",
    "test/mig",
    "test/dci_disentanglement",
    "test/dci_completeness",
    "test/dci_informativeness",
    "test/factor_vae/states",
    "test/mig/states",
}


def collate_with_factors(rows):
    """Stack samples into a batch, with two factors by the row."""
    x, label, index = (torch.stack(column) for column in zip(*rows, strict=True))
    return Batch(x, label, index, factors=torch.stack([index % 3, index % 2], dim=1))


def scores(quiet_trainer, model, data) -> dict[str, float]:
    """Test twice with one callback, and return what was logged."""
    trainer = quiet_trainer(callbacks=[Disentanglement()])
    first = trainer.test(model, datamodule=data, verbose=False)
    assert trainer.test(model, datamodule=data, verbose=False) == first
    return first[0] if first else {}


def test_scores_are_logged_where_data_have_factors(
    quiet_trainer, tiny_model, tiny_data, monkeypatch
):
    loader = DataLoader(tiny_data.rows, batch_size=8, collate_fn=collate_with_factors)
    monkeypatch.setattr(tiny_data, "test_dataloader", lambda: loader)
    values = scores(quiet_trainer, tiny_model, tiny_data)
    assert set(values) == NAMES
    assert all(0 <= value <= 1 for value in values.values())


def test_nothing_is_logged_where_they_have_none(quiet_trainer, tiny_model, tiny_data):
    assert not scores(quiet_trainer, tiny_model, tiny_data)
