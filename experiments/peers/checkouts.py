"""The public code of the methods: where it is, and which version the comparison was written for."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock


@dataclass(frozen=True, eq=False)
class Checkout:
    """The code of a method in a folder that the user names.

    Attributes:
        option: Of the command line.
        repository: On GitHub.
        commit: That the comparison was written for.
        files: First 16 digits of the SHA-256 of the files measured: an archive has no commit.
        unused: What they import for other purposes than training; stand-ins take its place if
            missing.
    """

    option: str
    repository: str
    commit: str
    files: Mapping[str, str]
    unused: tuple[str, ...] = ()

    def check(self, folder: Path) -> None:
        """Refuse a folder without the files, or with those of another version."""
        start = f"{self.option} {folder}"
        for name, wanted in self.files.items():
            if not (folder / name).is_file():
                raise ValueError(
                    f"{start}: {name} is missing; give a checkout of"
                    f" https://github.com/{self.repository} at commit {self.commit}"
                )
            text = (folder / name).read_text(encoding="utf-8")  # whatever its line ends are
            if hashlib.sha256(text.encode()).hexdigest()[:16] != wanted:
                raise ValueError(
                    f"{start}: {name} is of another version than commit {self.commit} of"
                    f" https://github.com/{self.repository}, which this comparison was written for;"
                    f" git -C {folder} checkout {self.commit}"
                )

    def load(self, folder: Path, module: str) -> ModuleType:
        """Import one of its modules; nothing else of the process sees its modules."""
        with self._importing(folder.resolve()):
            return importlib.import_module(module)

    @contextmanager
    def _importing(self, folder: Path) -> Iterator[None]:
        known = set(sys.modules)
        missing = [name for name in self.unused if find_spec(name.partition(".")[0]) is None]
        sys.modules.update({name: MagicMock() for name in missing})
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            for name in set(sys.modules) - known:
                places = getattr(sys.modules[name], "__path__", ())
                file = getattr(sys.modules[name], "__file__", None) or next(iter(places), "")
                if name in missing or Path(file).is_relative_to(folder):
                    del sys.modules[name]


MMIDAS = Checkout(
    "--mmidas",
    "AllenInstitute/MMIDAS",
    "0963ca7",
    {"mmidas/networks_mixvae.py": "1706b08e7d153e57"},
)
HIPPOCAMPAL = Checkout(
    "--hippocampal",
    "yangmeng96/mmvmvae-hippocampal",
    "188816b",
    {
        "mv_vaes/spike_mixedprior_vae.py": "6a56fe57812db412",
        "mv_vaes/spike_vae.py": "bb68cf4ed3fc5909",
        "networks/NetworksRatsspike.py": "aedace7c77ab3d65",
    },
    (
        *("torchvision", "torchvision.utils", "torchvision.transforms"),
        *("torchvision.transforms.functional", "wandb"),
    ),
)
JOINT_VAE = Checkout(
    "--joint-vae",
    "Schlumberger/joint-vae",
    "80fa464",
    {"jointvae/models.py": "3d15096d8b980af3", "jointvae/training.py": "e9dc110c70656fab"},
    ("imageio", "torchvision", "torchvision.utils"),
)
CHECKOUTS = (MMIDAS, HIPPOCAMPAL, JOINT_VAE)
# Index packages and the release series that the comparison was written for.
PACKAGES = {"multivae": "1.0", "scvi-tools": "1.5"}
