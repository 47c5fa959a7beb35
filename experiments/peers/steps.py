"""Training steps of the peers' own code, and ours at the same sizes on the same batch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from experiments.bench.agents import SMARTSEQ, build_model
from experiments.bench.measuring import Case, Run
from experiments.bench.modalities import BINS, EQUAL, NEURONS, random_batch
from experiments.bench.modalities import build_model as build_mmvm
from experiments.bench.steps import loop_step, our_steps
from experiments.modality_loop import Widths
from experiments.peers.checkouts import HIPPOCAMPAL, JOINT_VAE, MMIDAS
from mixvae.contracts import Batch, ModalitySpec
from mixvae.modules import JointPosteriorVAE, JointVAE
from mixvae.networks.agents import Agents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import Bernoulli, Gaussian

ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)
RATS = Widths(tuple(BINS * count for count in NEURONS), hidden=None)
IMAGES = (64, 1, 32, 32)  # a batch of joint-vae's
WIDTH = 512  # of MultiVae's default layers


class Peer(NamedTuple):
    """What `loop_step` trains."""

    loss: Callable[[Any], Tensor]
    parameters: Callable[[], Any]


def cases(folders: dict[str, Path | None], packages: set[str]) -> Iterator[Case]:
    """The cases of the checkouts and packages at hand."""
    if folder := folders[MMIDAS.option]:
        for count in (2, 5, 10):
            yield _case("mmidas", "A", count, SMARTSEQ.batch_size, partial(mmidas, folder, count))
    if folder := folders[HIPPOCAMPAL.option]:
        many = (Widths((EQUAL,) * count, hidden=None) for count in (20, 100))
        for widths in (RATS, *many):
            build = partial(hippocampal, folder, widths)
            yield _case("hippocampal", "M", len(widths.features), widths.batch_size, build)
    if folder := folders[JOINT_VAE.option]:
        yield _case("joint_vae", "A", 1, IMAGES[0], partial(joint_vae, folder))
    if "multivae" in packages:
        for kind, aggregate in (("MVAE", "poe"), ("MoPoE", "mopoe")):
            build = partial(multivae, kind, aggregate, RATS)
            case = _case("multivae", "M", len(RATS.features), RATS.batch_size, build)
            yield case._replace(name=f"{kind}, {case.name}")


def _case(group: str, axis: str, count: int, batch_size: int, build: Callable[[], Any]) -> Case:
    axes = {axis: count, "B": batch_size}
    name = ", ".join(f"{key} {value:,}" for key, value in axes.items())
    return Case(group, name, axes, batch_size, lambda device: build())


def mmidas(folder: Path, num_agents: int) -> dict[str, Run]:
    """An iteration of `cpl_mixVAE.train`, at the Smart-seq size."""
    torch.manual_seed(0)
    sizes = SMARTSEQ
    peer = MMIDAS.load(folder, "mmidas.networks_mixvae").RNA_RNA_mixVAE(
        input_dim=sizes.features,
        fc_dim=sizes.encoder[0],
        n_categories=sizes.categories,
        state_dim=sizes.state_dim,
        lowD_dim=sizes.encoder[-1],
        x_drop=sizes.dropout,
        s_drop=0.0,
        n_arm=num_agents,
        lam=1,
        lam_pc=1,
        tau=sizes.tau,
        beta=1.0,
        hard=False,
        variational=True,
        device="cpu",
        eps=1e-8,
        momentum=0.01,
        ref_prior=False,
        loss_mode="MSE",
    )

    def loss(x: Tensor) -> Tensor:
        given = [x] * num_agents
        output, p, r, _, q, _, c, mean, logvar, _ = peer(given, temp=1.0, prior_c=0.0)
        total: Tensor = peer.loss(output, p, r, given, mean, logvar, q, c, 0.0)[0]
        return total

    rows = torch.arange(sizes.batch_size)
    batch = Batch(torch.rand(sizes.batch_size, *sizes.shape), rows, rows)
    ours = our_steps(build_model(num_agents, sizes).train(), batch)
    return {"MMIDAS": loop_step(Peer(loss, peer.parameters), batch.x), **ours}


def hippocampal(folder: Path, widths: Widths) -> dict[str, Run]:
    """A training step of `SPIKEMixedPriorVAE`, its logging left out."""
    torch.manual_seed(0)
    module = HIPPOCAMPAL.load(folder, "mv_vaes.spike_mixedprior_vae")
    model = {"latent_dim": widths.latent_dim, "device": "cpu", "name": "mixedprior"}
    model |= {"stdnormweight": 0.0, "beta": 1.0, "batch_size": widths.batch_size}
    cfg = SimpleNamespace(
        model=SimpleNamespace(**model),
        dataset=SimpleNamespace(num_views=0),  # its own are the five rats: ours are added below
        eval=SimpleNamespace(num_samples_train=0),  # keeps batches for a classifier otherwise
    )
    peer = module.SPIKEMixedPriorVAE(cfg)
    cfg.dataset.num_views = len(widths.features)
    for name, kind in (("encoders", module.Encoder), ("decoders", module.Decoder)):
        networks = [kind(widths.latent_dim, count) for count in widths.features]
        setattr(peer, name, nn.ModuleList(networks))
    peer.log = lambda *_, **__: None  # there is no trainer to log to
    batch = random_batch(widths, torch.device("cpu"))
    given = {f"m{m}": x for m, x in enumerate(batch.x)}, batch.label
    step = loop_step(Peer(lambda x: peer.training_step(x, 0), peer.parameters), given)
    return {"hippocampal": step, **our_steps(build_mmvm(widths).train(), batch)}


def joint_vae(folder: Path) -> dict[str, Run]:
    """`Trainer._train_iteration` with the settings of its main.py."""
    torch.manual_seed(0)
    models = JOINT_VAE.load(folder, "jointvae.models")
    peer = models.VAE(IMAGES[1:], {"cont": 10, "disc": [10]}).train()
    trainer = JOINT_VAE.load(folder, "jointvae.training").Trainer(
        *(peer, torch.optim.Adam(peer.parameters(), lr=5e-4)),
        cont_capacity=[0.0, 5.0, 25000, 30],
        disc_capacity=[0.0, 5.0, 25000, 30],
    )
    model = JointVAE(
        shape=IMAGES[1:],
        agents=partial(
            Agents,
            encoder=partial(ConvEncoder, channels=(32, 64, 64)),
            decoder=partial(ConvDecoder, channels=(64, 32, 32)),
        ),
        likelihood=Bernoulli(),
        optimizer=ADAM,
        num_categories=10,
        state_dim=10,
    )
    rows = torch.arange(IMAGES[0])
    batch = Batch(torch.rand(IMAGES), rows, rows)
    step = partial(trainer._train_iteration, batch.x)
    return {"joint-vae": step, **our_steps(model.train(), batch)}


def multivae(kind: str, aggregate: Any, widths: Widths) -> dict[str, Run]:
    """A forward pass, backward pass and Adam step of a model of MultiVae, its default networks."""
    torch.manual_seed(0)
    models = importlib.import_module("multivae.models")
    datasets = importlib.import_module("multivae.data.datasets.base")
    names = [f"m{m}" for m in range(len(widths.features))]
    own = {"use_subsampling": False, "warmup": 0} if kind == "MVAE" else {}
    config = getattr(models, f"{kind}Config")(
        n_modalities=len(names),
        latent_dim=widths.latent_dim,
        input_dims={name: (count,) for name, count in zip(names, widths.features, strict=True)},
        **own,
    )
    peer = getattr(models, kind)(config).train()
    batch = random_batch(widths, torch.device("cpu"))
    given = datasets.MultimodalBaseDataset(dict(zip(names, batch.x, strict=True)))
    model = JointPosteriorVAE(
        modalities=[
            ModalitySpec(name, (count,)) for name, count in zip(names, widths.features, strict=True)
        ],
        networks=partial(
            ModalityNetworks,
            encoder=partial(ModalityEncoder, hidden=(WIDTH, WIDTH)),
            decoder=partial(ModalityDecoder, hidden=(WIDTH,)),
        ),
        likelihood=Gaussian(),
        optimizer=ADAM,
        latent_dim=widths.latent_dim,
        aggregate=aggregate,
        prior_expert=True if kind == "MVAE" else "full",
    )
    step = loop_step(Peer(lambda x: peer(x).loss, peer.parameters), given)
    return {"MultiVae": step, **our_steps(model.train(), batch)}
