"""The matrix products of a training step alone: what a step of nothing else would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from experiments.bench import agents, modalities
from experiments.bench.measuring import Case, Run

ALONE = "products alone"
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
# Group and sizes of the steps whose products are looked at.
CHOSEN: tuple[tuple[str, dict[str, int]], ...] = (
    ("agents", {"A": 2}),
    ("agents", {"A": 10}),
    ("mnist", {"A": 2}),
    ("rats", {}),
    ("modalities", {"M": 20}),
)


def cases() -> Iterator[Case]:
    """Steps of cpl-mixVAE and MMVM, of which linear layers are all that multiplies matrices."""
    for case in (*agents.cases(), *modalities.cases()):
        chosen = any(
            case.group == group and sizes.items() <= case.axes.items() for group, sizes in CHOSEN
        )
        if chosen and "conv" not in case.name:
            yield case._replace(group="products", build=partial(_sides, case.build))


def _sides(build: Callable[[torch.device], dict[str, Run]], device: torch.device) -> dict[str, Run]:
    sides = build(device)
    return {
        "loop": sides["loop"],
        "mixvae": sides["mixvae"],
        ALONE: products_of(sides["mixvae"]),
    }


def products_of(step: Run) -> Run:
    """Make a step, and return what multiplies matrices of its sizes and layouts, and only that."""
    recorded = _Recorded()
    with recorded:
        step()

    def replay() -> None:
        for product, args, kwargs in recorded.products:
            product(*args, **kwargs)

    return replay


class _Recorded(TorchDispatchMode):
    """Keeps each product with arguments of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket.__name__.removesuffix("_") in PRODUCTS:
            given = tree_map_only(Tensor, _like, (args, kwargs or {}))
            self.products.append((func, *given))
        return func(*args, **(kwargs or {}))


def _like(tensor: Tensor) -> Tensor:
    """Random numbers in a tensor of the same layout."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    extent = 1 + sum((size - 1) * stride for size, stride in sizes)
    numbers = torch.rand(extent, dtype=tensor.dtype, device=tensor.device)
    return numbers.as_strided(tensor.shape, tensor.stride())
