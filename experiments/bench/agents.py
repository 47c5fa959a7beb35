"""cpl-mixVAE against the loop over agents: at the Smart-seq size, and on MNIST."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from experiments.agent_loop import AgentLoop, Sizes, copy_weights
from experiments.bench.measuring import Case, Run
from experiments.bench.steps import loop_step, our_steps
from mixvae.augmenters.noise import Identity
from mixvae.contracts import Batch
from mixvae.modules import CplMixVAE
from mixvae.networks.agents import Agents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.objectives.likelihoods import Bernoulli, SquaredError

# MMIDAS on Smart-seq: 5,032 genes, half of the input dropped.
SMARTSEQ = Sizes(
    features=5032,
    categories=120,
    state_dim=2,
    batch_size=512,
    encoder=(100, 100, 100, 100, 10),
    decoder=(10, 100, 100, 100, 100),
    batch_norm="after",
    dropout=0.5,
    tau=0.005,
    double_softmax=True,
    temperature=1.0,
    binary=False,
)
# The widths of conf/networks/mlp.yaml and conv.yaml.
MNIST = Sizes(
    features=784,
    categories=10,
    state_dim=10,
    batch_size=256,
    encoder=(400, 400, 64),
    decoder=(400, 400),
    batch_norm="before",
    dropout=0.0,
    tau=1.0,
    double_softmax=False,
    temperature=0.67,
    binary=True,
)
CONV = MNIST._replace(encoder=(256,), decoder=(256,), batch_norm="none", channels=(32, 64))


def cases() -> Iterator[Case]:
    """The cases: agents at two batch sizes, batches, categories, and MNIST."""
    for group, size in (("agents", 512), ("agents_large", 5000)):
        for num_agents in (2, 3, 5, 10):
            yield _case(group, "Smart-seq", num_agents, SMARTSEQ._replace(batch_size=size))
    for size in (64, 128, 256, 1024, 2048):
        yield _case("batches", "Smart-seq", 2, SMARTSEQ._replace(batch_size=size))
    for categories in (10, 40, 400, 1000):
        yield _case("categories", "Smart-seq", 2, SMARTSEQ._replace(categories=categories))
    for num_agents in (2, 5, 10):
        yield _case("mnist", "MNIST MLP", num_agents, MNIST)
    yield _case("mnist", "MNIST conv", 2, CONV)


def _case(group: str, name: str, num_agents: int, sizes: Sizes) -> Case:
    axes = {"A": num_agents, "K": sizes.categories, "B": sizes.batch_size}
    told = ", ".join(f"{key} {value:,}" for key, value in axes.items())
    build = partial(training_sides, num_agents, sizes)
    return Case(group, f"{name}, {told}", axes, sizes.batch_size, build)


def training_sides(num_agents: int, sizes: Sizes, device: torch.device) -> dict[str, Run]:
    """The steps to compare, from the same weights on the same batch."""
    torch.manual_seed(0)
    rows = torch.arange(sizes.batch_size, device=device)
    batch = Batch(torch.rand(sizes.batch_size, *sizes.shape, device=device), rows, rows)
    model = build_model(num_agents, sizes).to(device).train()
    loop = AgentLoop(num_agents, sizes).to(device).train()
    copy_weights(model, loop)
    return {"loop": loop_step(loop, batch.x), **our_steps(model, batch)}


def build_model(num_agents: int, sizes: Sizes) -> CplMixVAE:
    """The batched model at these sizes, with the paper's terms only and fused Adam."""
    return CplMixVAE(
        shape=sizes.shape,
        agents=partial(Agents, encoder=_encoder(sizes), decoder=_decoder(sizes)),
        augmenter=Identity(),
        likelihood=Bernoulli() if sizes.binary else SquaredError(),
        optimizer=partial(torch.optim.Adam, lr=1e-3, fused=True),
        num_agents=num_agents,
        num_categories=sizes.categories,
        state_dim=sizes.state_dim,
        tau=sizes.tau,
        double_softmax=sizes.double_softmax,
        temperature=sizes.temperature,
        coupling="perturbed",
    )


def _encoder(sizes: Sizes) -> partial:
    if sizes.channels:
        return partial(ConvEncoder, channels=sizes.channels, features=sizes.encoder[0])
    return partial(
        MLPEncoder,
        hidden=sizes.encoder,
        batch_norm=sizes.batch_norm,
        input_dropout=sizes.dropout,
    )


def _decoder(sizes: Sizes) -> partial:
    if sizes.channels:
        return partial(ConvDecoder, channels=sizes.channels[::-1], features=sizes.decoder[0])
    return partial(MLPDecoder, hidden=sizes.decoder, batch_norm=sizes.batch_norm)
