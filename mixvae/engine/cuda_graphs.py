"""Training steps as CUDA graphs: captured once, then replayed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loops.optimization.automatic import Closure
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer
from torch.utils import _pytree as pytree

from mixvae.modules.base import AbstractModule, Moment

logger = logging.getLogger(__name__)

# Steps at one moment before it is worth a graph; they also make what a first step makes.
WARM_UP = 3


class Recording(Protocol):
    """A piece of work that can be done again on the tensors that it was recorded with."""

    def replay(self) -> Any:
        """Do it; return what it returned, with the values of now."""
        ...


Recorder = Callable[[Callable[[], Any]], Recording]


class CudaRecording:
    """Work recorded as a CUDA graph; recording does not do it.

    Args:
        work: Launches kernels and nothing else that has an effect: replaying runs no Python.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        # The graph holds addresses; what lies there lives as long as the work that names it.
        self.work = work
        self.graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            # Of a graph that stays empty, where the work fails; the error says more.
            warnings.simplefilter("ignore")
            with torch.cuda.graph(self.graph):
                self.outputs = work()

    def replay(self) -> Any:
        """Launch the graph; the outputs are the same tensors each time."""
        self.graph.replay()
        return self.outputs


def run_beside(work: Callable[[], Any], device: torch.device) -> Any:
    """Do the work on a stream of its own, as CUDA asks before it is recorded; return its result."""
    if device.type != "cuda":
        return work()
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        result = work()
    torch.cuda.current_stream(device).wait_stream(side)
    return result


class CapturedStrategy(SingleDeviceStrategy):
    """Trains on one GPU, each step one CUDA graph: forward, backward and optimiser.

    A step of small networks is hundreds of kernels of a few microseconds, which Python launches
    more slowly than the GPU runs them. A graph holds them all, and every number that Python passed
    while it was captured. It is replayed while `AbstractModule.moment` stays the same; while a
    schedule moves, steps run normally and give the same result. The learning rate is a tensor and
    may change. If a step cannot be captured, mixvae logs a warning and runs it normally.

    Args:
        record: Captures work; None captures CUDA graphs, on a CPU nothing.
    """

    def __init__(
        self, device: str | torch.device = "cuda:0", record: Recorder | None = None
    ) -> None:
        super().__init__(device=device)
        self._record = record
        self._off: str | None = None
        if record is None:
            self._record = CudaRecording
            if self.root_device.type != "cuda":
                self._stop(f"{self.root_device} has no CUDA graphs")
        self._moment: Moment = None
        self._buffers: dict[Any, Any] = {}
        self._present: Any = None
        self._counts: dict[Any, int] = {}
        self._steps: dict[Any, Recording] = {}

    @property
    def num_recorded(self) -> int:
        """Graphs in use, one for each size of batch."""
        return len(self._steps)

    def setup_optimizers(self, trainer: Any) -> None:
        """Set the optimisers up so that their steps can be recorded."""
        super().setup_optimizers(trainer)
        if trainer.accumulate_grad_batches != 1:
            self._stop("trainer.accumulate_grad_batches is not 1")
        if self._off is None and self._moment_of(self.lightning_module) is not None:
            self._keep_on_device()

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the optimisers' states, which may be those of steps that were not recorded."""
        super().load_optimizer_state_dict(checkpoint)
        if self._off is None:
            self._keep_on_device()

    def _keep_on_device(self) -> None:
        """Keep on the device what an optimiser would read on the host: its rate and its steps."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = torch.as_tensor(group["lr"], device=self.root_device)
                if "capturable" in group and self.root_device.type == "cuda":
                    group["capturable"] = True

    def batch_to_device(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """The batch on the device; in training in the same place as all batches of its size."""
        moved = super().batch_to_device(batch, device, dataloader_idx)
        model = self.lightning_module
        if self._off is not None or model is None or not model.trainer.training:
            return moved
        leaves = pytree.tree_leaves(moved)
        self._present = tuple(
            (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves
        )
        if self._present not in self._buffers:
            self._buffers[self._present] = pytree.tree_map_only(Tensor, torch.clone, moved)
        kept = self._buffers[self._present]
        for ours, theirs in zip(pytree.tree_leaves(kept), leaves, strict=True):
            if isinstance(ours, Tensor):
                ours.copy_(theirs)
        return kept

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Replay the step, or run it, and record it once it was run often enough."""
        run = partial(super().optimizer_step, optimizer, closure, model, **kwargs)
        assert isinstance(closure, Closure)
        moment = None if self._off is not None else self._moment_of(model)
        if moment is None:
            return run()
        if moment != self._moment:
            self._moment, self._counts, self._steps = moment, {}, {}
        size = self._present
        if size not in self._steps:
            self._counts[size] = self._counts.get(size, 0) + 1
            if self._counts[size] <= WARM_UP or not self._recorded(size, closure, run):
                return run_beside(run, self.root_device)
        closure._result = self._steps[size].replay()
        return None

    def _moment_of(self, model: LightningModule | None) -> Moment:
        module = model or self.lightning_module
        moment = module.moment() if isinstance(module, AbstractModule) else None
        if moment is None:
            self._stop(f"a step of {type(module).__name__} needs the CPU")
        return moment

    def _recorded(self, size: Any, closure: Closure, run: Callable[[], Any]) -> bool:
        """Record the step without doing it; whether that went well."""

        def work() -> Any:
            run()
            result = closure.consume_result()
            result.closure_loss = None  # its graph of gradients would stay in memory
            return result

        assert self._record is not None
        try:
            self._steps[size] = self._record(work)
        except RuntimeError as error:
            # The end of a recording that failed fails too; why it did is said by the first error.
            first: BaseException = error
            while first.__context__ is not None:
                first = first.__context__
            self._stop(str(first).splitlines()[0])
            return False
        return True

    def _stop(self, reason: str) -> None:
        if self._off is None:
            self._off = reason
            self._steps, self._buffers = {}, {}
            logger.warning("training steps are not recorded as CUDA graphs: %s", reason)
