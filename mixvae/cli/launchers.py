"""Hydra's launchers: which there are, and what to install for them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from mixvae.suggestions import suggestion

# The package of each launcher; Hydra's own needs none.
LAUNCHERS = {
    "basic": None,
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}


def wrong_launcher(name: str, own: Sequence[str] = ()) -> str:
    """Return why a launcher cannot be used, an empty text if it can.

    Args:
        name: The launcher asked for.
        own: Launchers that config files describe.
    """
    if name not in {*LAUNCHERS, *own}:
        return f"hydra/launcher has no option {name!r}{suggestion(name, [*LAUNCHERS, *own])}"
    package = LAUNCHERS.get(name)
    if package is not None and not _is_installed(package):
        return f"hydra/launcher={name} needs a package: pip install mixvae[sweep]"
    return ""


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
