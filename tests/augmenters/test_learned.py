"""The frozen augmenter: from a file, always in evaluation mode, unseen by optimisers."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from mixvae.augmenters.learned import Learned
from mixvae.contracts import DataSpec
from mixvae.networks.gan import CopyNetwork

D, B, A = 6, 5, 3
GENES = tuple("abcdef")


def write(path: Path, **options: object) -> Path:
    torch.manual_seed(0)
    network = CopyNetwork((D,), latent_dim=3, noise_dim=4, hidden=(8,), dropout=0.5)
    network.standardise.observe(torch.randn(20, D))
    content = {
        "state_dict": {f"network.{name}": value for name, value in network.state_dict().items()}
        | {"discriminator.layers.0.weight": torch.zeros(2)},
        "augmenter": {**network.sizes(), "feature_names": list(GENES), "data": "toy", **options},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


@pytest.fixture
def learned(tmp_path: Path) -> Learned:
    return Learned(str(write(tmp_path / "a.ckpt")))


def log_q(copies: torch.Tensor) -> torch.Tensor:
    raise AssertionError("not needed")


def test_each_agent_and_each_call_gets_a_copy_of_its_own(learned: Learned) -> None:
    x = torch.randn(B, D)
    copies, again = learned(x, A, log_q), learned(x, A, log_q)
    assert copies.shape == (A, B, D)
    for one, other in [(copies[0], copies[1]), (copies[1], copies[2]), (copies[0], again[0])]:
        assert (one - other).norm(dim=-1).min() > 0
    assert (copies - x).norm(dim=-1).min() > 0


def test_strength_and_scale_multiply_the_shift(learned: Learned) -> None:
    x = torch.randn(200, D)
    near, far = (
        (learned(x, A, log_q, strength) - x).norm(dim=-1).mean() for strength in (0.05, 0.5)
    )
    assert far > 5 * near
    assert (learned(x, A, log_q, 4.0) - x).norm(dim=-1).mean() > 4 * far
    torch.testing.assert_close(learned(x, A, log_q, 0.0), x.expand(A, *x.shape))
    learned.scale = 0.1
    torch.testing.assert_close(
        (learned(x, A, log_q, 0.5) - x).norm(dim=-1).mean(), near, rtol=0.1, atol=0
    )


def test_it_is_frozen(learned: Learned) -> None:
    # Fault 6: the public code's augmenter runs in train mode while agents train.
    model = torch.nn.ModuleList([learned]).train()
    assert not any(module.training for module in learned.modules())
    assert list(model.parameters()) == []
    assert model.state_dict() == {}
    x = torch.randn(B, D, requires_grad=True)
    assert not learned(x, A, log_q).requires_grad


def test_it_moves_with_the_model(learned: Learned) -> None:
    model = torch.nn.ModuleList([learned]).to(torch.float64)
    assert model[0](torch.randn(B, D).double(), A, log_q).dtype == torch.float64
    assert all(buffer.dtype == torch.float64 for buffer in learned.buffers())


def test_a_run_folder_means_its_best_checkpoint_and_else_its_last(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    last = write(folder / "checkpoints" / "last.ckpt")
    assert Learned(str(folder)).path == last
    best = write(folder / "checkpoints" / "best.ckpt")
    assert Learned(str(folder)).path == best


def test_data_that_it_was_trained_on_are_accepted(learned: Learned) -> None:
    learned.check_data(DataSpec("other", (D,), feature_names=GENES))
    learned.check_data(DataSpec("other", (D,)))


def test_samples_in_another_unit_are_refused(learned: Learned) -> None:
    x = torch.randn(50, D)
    learned.check_samples(x)
    for strange in (x + 3, torch.expm1(x + 2), x * torch.nan):
        with pytest.raises(ValueError, match="are in another unit; train one on these data"):
            learned.check_samples(strange)


def test_files_that_are_no_augmenter_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt")
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2], pickle.dumps(print)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or no checkpoint"):
            Learned(str(path))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="no checkpoint of a learned augmenter"):
        Learned(str(path))


def test_other_data_are_refused(learned: Learned) -> None:
    for shape, value_range, genes, message in (
        ((D + 1,), None, "", r"shape \(6,\), .* \(7,\)"),
        ((D,), (0.0, 1.0), "", r"None, .* \(0.0, 1.0\)"),
        ((D,), None, "abXdeY", "2 of 6 differ, such as c where x has X"),
        ((D,), None, "bacdef", "2 of 6 differ"),
    ):
        spec = DataSpec("x", shape, value_range=value_range, feature_names=tuple(genes))
        with pytest.raises(ValueError, match=message):
            learned.check_data(spec)
