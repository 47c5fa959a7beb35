"""Adapters to the peers' code, on tiny packages of the same signatures."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from experiments.bench.agents import SMARTSEQ
from experiments.bench.measuring import CPU, MATMUL_SIZE
from experiments.modality_loop import Widths
from experiments.peers import __main__ as command
from experiments.peers import cells, checkouts, steps
from experiments.peers.checkouts import HIPPOCAMPAL, JOINT_VAE, MMIDAS, Checkout
from mixvae.cli.schema import register

register()

SMALL = SMARTSEQ._replace(features=12, categories=4, batch_size=8)
MMIDAS_CODE = """
import torch
from torch import nn

class RNA_RNA_mixVAE(nn.Module):
    def __init__(self, input_dim, fc_dim, n_categories, state_dim, lowD_dim, x_drop, s_drop, n_arm,
                 lam, lam_pc, tau, beta, hard, variational, device, eps, momentum, ref_prior,
                 loss_mode):
        super().__init__()
        self.net, self.n_arm = nn.Linear(input_dim, n_categories), n_arm
        assert (fc_dim, lowD_dim, x_drop, tau) == (100, 10, 0.5, 0.005)

    def forward(self, x, temp, prior_c=[], eval=False, mask=None):
        assert len(x) == self.n_arm and not eval
        return tuple([(name, self.net(one)) for one in x] for name in
                     ("recon", "p", "r", "low", "qc", "s", "c", "mu", "logvar", "log_qc"))

    def loss(self, recon_x, p_x, r_x, x, mu, log_sigma, qc, c, prior_c=[]):
        given = (recon_x, p_x, r_x, mu, log_sigma, qc, c)
        names = [one[0][0] for one in given]
        assert names == ["recon", "p", "r", "mu", "logvar", "qc", "c"], names
        return (sum(part.square().mean() for _, part in recon_x), *[None] * 8)
"""
RATS_CODE = """
from torch import nn
from torchvision.utils import make_grid
import torchvision.transforms.functional as F
from networks.NetworksRatsspike import Encoder, Decoder
from mv_vaes.spike_vae import SPIKEVAE

class SPIKEMixedPriorVAE(SPIKEVAE):
    def training_step(self, batch, batch_idx):
        samples, labels = batch
        found = 0.0
        for m in range(self.cfg.dataset.num_views):
            x = samples["m" + str(m)]
            found = found + (self.decoders[m](self.encoders[m](x)) - x).square().mean()
        self.log("train/loss", found)
        return self.cfg.model.beta * found
"""
RATS_BASE = """
from torch import nn
import wandb
class SPIKEVAE(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        assert cfg.model.stdnormweight == 0.0 and cfg.dataset.num_views == 0
"""
RATS_NETS = """
from torch import nn
class Encoder(nn.Linear):
    def __init__(self, latent_dim, original_dim):
        super().__init__(original_dim, latent_dim)
class Decoder(nn.Linear):
    def __init__(self, latent_dim, original_dim):
        super().__init__(latent_dim, original_dim)
"""
JOINT_MODELS = """
from torch import nn
class VAE(nn.Module):
    def __init__(self, img_size, latent_spec, temperature=.67, use_cuda=False):
        super().__init__()
        assert latent_spec == {"cont": 10, "disc": [10]}
        self.net = nn.Conv2d(img_size[0], 1, 1)
"""
JOINT_TRAINING = """
import imageio
from torchvision.utils import make_grid
class Trainer():
    def __init__(self, model, optimizer, cont_capacity=None, disc_capacity=None,
                 print_loss_every=50, record_loss_every=5, use_cuda=False):
        self.model, self.optimizer = model, optimizer
        assert cont_capacity and disc_capacity
    def _train_iteration(self, data):
        self.optimizer.zero_grad()
        loss = self.model.net(data).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.item()
"""
MULTIVAE_MODELS = """
from types import SimpleNamespace
import torch
from torch import nn
class MoPoEConfig(SimpleNamespace):
    pass
class MVAEConfig(SimpleNamespace):
    pass
class MoPoE(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_modalities == len(config.input_dims)
        self.nets = nn.ModuleDict({m: nn.Linear(*s, 1) for m, s in config.input_dims.items()})
    def forward(self, inputs):
        loss = sum(self.nets[m](x).square().mean() for m, x in inputs.data.items())
        return SimpleNamespace(loss=loss)
class MVAE(MoPoE):
    def __init__(self, config):
        super().__init__(config)
        assert not config.use_subsampling and config.warmup == 0
"""
CODE = {
    MMIDAS: {"mmidas/networks_mixvae.py": MMIDAS_CODE},
    HIPPOCAMPAL: {
        "mv_vaes/spike_mixedprior_vae.py": RATS_CODE,
        "mv_vaes/spike_vae.py": RATS_BASE,
        "networks/NetworksRatsspike.py": RATS_NETS,
    },
    JOINT_VAE: {"jointvae/models.py": JOINT_MODELS, "jointvae/training.py": JOINT_TRAINING},
}


def write(folder: Path, files: dict[str, str]) -> Path:
    """A package of these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path | None]:
    """Checkouts of all peers, their files being those wanted."""
    found: dict[str, Path | None] = {}
    for checkout, files in CODE.items():
        found[checkout.option] = write(tmp_path / checkout.option.strip("-"), files)
        for name, text in files.items():
            wanted = hashlib.sha256(text.encode()).hexdigest()[:16]
            monkeypatch.setitem(checkout.files, name, wanted)
    monkeypatch.setattr(steps, "SMARTSEQ", SMALL)
    monkeypatch.setattr(steps, "RATS", Widths((5, 7), None, batch_size=6))
    monkeypatch.setattr(steps, "EQUAL", 3)
    monkeypatch.setattr(steps, "IMAGES", (2, 1, 32, 32))
    return found


@pytest.mark.usefixtures("multivae")
def test_every_adapter_trains_the_peer_and_ours(folders: dict[str, Path | None]) -> None:
    before = set(sys.modules)
    found = list(steps.cases(folders, {"multivae"}))
    assert [case.group for case in found] == [
        *["mmidas"] * 3, *["hippocampal"] * 3, "joint_vae", *["multivae"] * 2,
    ]  # fmt: skip
    for case in found:
        if case.axes.get("M", 2) > 20 or case.axes.get("A", 2) > 5:
            continue
        sides = case.build(CPU)
        assert list(sides)[1:] == ["mixvae", "mixvae bf16"]
        for run in sides.values():
            run()
    theirs = set(sys.modules) - before
    assert not any(name.startswith(("mmidas", "networks", "jointvae")) for name in theirs)
    assert "torchvision" not in theirs


def test_a_step_of_a_peer_trains_its_own_parameters(folders: dict[str, Path | None]) -> None:
    folder = folders[JOINT_VAE.option]
    assert folder is not None
    step = steps.joint_vae(folder)["joint-vae"]
    assert step() > step()  # a loss that falls


@pytest.fixture
def multivae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of this name, installed in a folder."""
    folder = write(
        tmp_path / "installed",
        {
            "multivae/models/__init__.py": MULTIVAE_MODELS,
            "multivae/data/datasets/base.py": "from types import SimpleNamespace\n"
            "def MultimodalBaseDataset(data): return SimpleNamespace(data=data)\n",
            "multivae-1.0.3.dist-info/METADATA": "Name: multivae\nVersion: 1.0.3\n",
        },
    )
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "multivae"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_absent_peers_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PACKAGES", {"no-such-peer": "1.0"})
    command.main(["--out", str(tmp_path)])
    told = capsys.readouterr().err
    for checkout in checkouts.CHECKOUTS:
        assert f"{checkout.repository} was left out: give a checkout, {checkout.option}" in told
    assert "no-such-peer was left out: pip install 'no-such-peer==1.0.*'" in told
    assert not list(tmp_path.iterdir())


def test_a_package_of_another_version_is_named(
    multivae: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PACKAGES", {"multivae": "1.0"})
    assert command._installed() == {"multivae": "1.0.3"}
    monkeypatch.setattr(command, "PACKAGES", {"multivae": "0.9"})
    assert command._installed() == {}
    assert "multivae 1.0.3 was left out: this comparison was written for 0.9" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("checkout", CODE)
def test_a_checkout_of_another_version_is_refused(
    checkout: Checkout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, CODE[checkout])
    with pytest.raises(SystemExit):
        command.main([checkout.option, str(tmp_path)])
    told = capsys.readouterr().err
    assert f"is of another version than commit {checkout.commit}" in told
    assert next(iter(CODE[checkout])) in told


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(["--mmidas", str(tmp_path)])
    assert "mmidas/networks_mixvae.py is missing; give a checkout" in capsys.readouterr().err


def test_line_ends_of_a_checkout_do_not_matter(folders: dict[str, Path | None]) -> None:
    folder = folders[MMIDAS.option]
    assert folder is not None
    (file,) = MMIDAS.files
    (folder / file).write_bytes(MMIDAS_CODE.replace("\n", "\r\n").encode())
    MMIDAS.check(folder)


def test_the_command_of_the_gallery_writes_ratios_by_both_clocks_and_a_figure(
    folders: dict[str, Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(MATMUL_SIZE, "cpu", 32)
    monkeypatch.setattr(command, "PACKAGES", {})
    page = (Path(__file__).parents[2] / "docs/gallery.md").read_text()
    (written,) = re.findall(r"`python -m experiments\.peers (.*)`", page)
    options = written.split()[::2]
    assert written.split()[1::2] == ["DIR"] * len(CODE)
    words = [word for option in options for word in (option, str(folders[option]))]
    command.main([*words, "--rounds", "2", "--seconds", "0", "--out", str(tmp_path)])
    groups = json.loads((tmp_path / "peers.json").read_text())["groups"]
    assert len(groups) == len(CODE)
    (row,) = groups["joint_vae"]["rows"]
    assert list(row["sides"]) == ["joint-vae", "mixvae", "mixvae bf16"]
    for kind in ("ratio", "wall ratio"):
        median, low, high = row["sides"]["mixvae"][kind]
        assert 0 < low <= median <= high
    page = (tmp_path / "peers.md").read_text()
    assert "| mixvae, samples/s | ratio | wall |" in page
    assert page in capsys.readouterr().out
    assert (tmp_path / "peers.png").stat().st_size > 1000


class FakeSCVI:
    """Trains for so many epochs, each of them .02 s."""

    setup_anndata = staticmethod(lambda cells: None)

    def __init__(self, cells: Any, gene_likelihood: str) -> None:
        assert gene_likelihood == "nb"
        self.cells = cells

    def train(self, max_epochs: int, callbacks: Any = (), **options: Any) -> None:
        """Tell the callbacks of each epoch."""
        import time

        for epoch in range(max_epochs):
            for one in callbacks:
                one.on_train_epoch_start(SimpleNamespace(current_epoch=epoch), None)
            end = time.process_time() + 0.02
            while time.process_time() < end:
                pass

    def get_latent_representation(self, batch_size: int) -> Any:
        """Zeros."""
        return torch.zeros(self.cells.n_obs, 10).numpy()


@pytest.fixture
def scvi(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of this name, and few cells."""
    model = SimpleNamespace(SCVI=FakeSCVI)
    monkeypatch.setitem(
        sys.modules, "scvi", SimpleNamespace(model=model, settings=SimpleNamespace())
    )
    monkeypatch.setattr(cells, "CELLS", 600)
    monkeypatch.setattr(cells, "GENES", 200)
    monkeypatch.setattr(cells, "EPOCHS", 1)


@pytest.mark.usefixtures("scvi")
@pytest.mark.slow
def test_epochs_of_both_trainers_are_timed(tmp_path: Path) -> None:
    epochs, *_ = cells.cases(tmp_path)
    sides = epochs.build(CPU)
    assert sides["SCVI"]().processor == pytest.approx(0.02, rel=0.5)
    ours = sides["mixvae"]()
    assert 0 < ours.processor < 5
    assert ours.clock > 0


@pytest.mark.usefixtures("scvi")
@pytest.mark.slow
def test_both_infer_the_latents_of_all_cells(tmp_path: Path) -> None:
    *_, latents = cells.cases(tmp_path)
    assert latents.samples == 600
    sides = latents.build(CPU)
    assert sides["SCVI"]().shape == (600, 10)
    sides["mixvae"]()
