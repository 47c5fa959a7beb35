"""mixvae: what kind of thing a sample is, apart from how it varies.

Axis letters, used in every docstring and as suffixes where a name alone would be ambiguous:

**A** agents, **B** batch, **K** categories, **S** state dimensions, **D** features,
**M** modalities, **L** latent dimensions, **C** label classes.

All objectives are in nats: summed over features, averaged over the batch.

From Python: `run = mixvae.train("images_cpl", data=images)`, `run = mixvae.open_run(folder)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvae.api.trained import Run, open_run
    from mixvae.api.training import train

__all__ = ["Run", "open_run", "train"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on first use: PyTorch takes seconds.
    if name == "train":
        return import_module("mixvae.train")
    if name in __all__:
        from mixvae.starting import unnoticed_imports

        with unnoticed_imports():
            return getattr(import_module("mixvae.api.trained"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
