"""MMVM against the loop over modalities: the rats, and more and more modalities of one size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from experiments.bench.measuring import Case, Run
from experiments.bench.steps import loop_step, model_step, our_steps
from experiments.modality_loop import ModalityLoop, Widths, copy_weights
from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.evaluation.multimodal_health import MultimodalEvaluation
from mixvae.modules import MMVM
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import SquaredError

NEURONS = (92, 79, 104, 49, 46)  # of the paper's five rats
BINS = 10
EQUAL = 500  # features of each of many modalities
SMALL = 20  # the same beside a validation


def cases() -> Iterator[Case]:
    """The cases: the rats with the paper's networks, and M modalities of one size."""
    yield _case("rats", "rats", Widths(tuple(BINS * count for count in NEURONS), hidden=None))
    for count in (2, 5, 10, 20, 50, 100):
        widths = Widths((EQUAL,) * count, hidden=None)
        yield _case("modalities", f"modalities of {EQUAL}", widths)
    for count in (2, 10, 20, 60):
        widths = Widths((SMALL,) * count, hidden=(128, 128))
        yield _case("validation", f"modalities of {SMALL}", widths)


def _case(group: str, name: str, widths: Widths) -> Case:
    axes = {"M": len(widths.features), "B": widths.batch_size}
    told = ", ".join(f"{key} {value:,}" for key, value in axes.items())
    validates = group == "validation"
    build = partial(validation_sides if validates else training_sides, widths)
    return Case(group, f"{name}, {told}", axes, widths.batch_size, build, not validates)


def build_model(widths: Widths) -> MMVM:
    """MMVM at these sizes with fused Adam."""
    return MMVM(
        modalities=[ModalitySpec(str(m), (count,)) for m, count in enumerate(widths.features)],
        networks=partial(
            ModalityNetworks,
            encoder=partial(ModalityEncoder, hidden=widths.hidden),
            decoder=partial(ModalityDecoder, hidden=widths.hidden),
        ),
        likelihood=SquaredError(),
        optimizer=partial(torch.optim.Adam, lr=1e-3, fused=True),
        latent_dim=widths.latent_dim,
    )


def random_batch(widths: Widths, device: torch.device) -> MultimodalBatch:
    """A batch of events that miss nothing."""
    size, count = widths.batch_size, len(widths.features)
    rows = torch.arange(size, device=device)
    return MultimodalBatch(
        x=tuple(torch.rand(size, features, device=device) for features in widths.features),
        present=torch.ones(size, count, dtype=torch.bool, device=device),
        label=rows,
        index=rows,
        rows=rows[:, None].expand(size, count),
    )


def training_sides(widths: Widths, device: torch.device) -> dict[str, Run]:
    """The steps to compare, from the same weights on the same batch."""
    torch.manual_seed(0)
    batch = random_batch(widths, device)
    model = build_model(widths).to(device).train()
    loop = ModalityLoop(widths).to(device).train()
    copy_weights(model, loop)
    return {"loop": loop_step(loop, batch.x), **our_steps(model, batch)}


def validation_sides(widths: Widths, device: torch.device) -> dict[str, Run]:
    """A training step, and a measured batch of a validation, of a test, and with eq. (4)'s KL."""
    torch.manual_seed(0)
    batch = random_batch(widths, device)
    model, mixture = (build_model(widths).to(device) for _ in range(2))
    mixture.kl = "mixture"
    for one in (model, mixture):
        one.log_dict = lambda *_, **__: None  # there is no trainer to log to
    metric = MultimodalEvaluation([str(m) for m in range(len(widths.features))]).to(device)

    def measured(model: MMVM, name: str) -> None:
        with torch.inference_mode():
            metric.update(getattr(model, name)(batch, 0), batch.present)

    return {
        "training step": model_step(model, batch),
        "validation": partial(measured, model, "validation_step"),
        "test": partial(measured, model, "test_step"),
        "validation, kl: mixture": partial(measured, mixture, "validation_step"),
    }
