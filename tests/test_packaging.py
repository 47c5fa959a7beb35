"""The wheel carries what a run needs, and pyproject.toml declares what the package imports."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What a distribution is called where its import has another name.
DISTRIBUTIONS = {
    "hydra": "hydra-core",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "wandb_workspaces": "wandb-workspaces",
    "yaml": "pyyaml",
}

TESTED = ("3.10", "3.11", "3.12", "3.13")
COMMANDS = ("annotate", "dashboard", "data", "evaluate", "impute", "report", "sweep", "train")


@pytest.fixture(scope="module")
def project(repo_root: Path) -> dict[str, Any]:
    return tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(repo_root)], check=True, capture_output=True, timeout=120)
    (file,) = out.glob("*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_configuration(wheel: Path, repo_root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {str(f.relative_to(repo_root)) for f in (repo_root / "mixvae").rglob("*.py")}
    conf = {f"mixvae/{f.relative_to(repo_root)}" for f in (repo_root / "conf").rglob("*.yaml")}
    assert conf
    assert code | conf <= names
    assert {name.split("/")[0] for name in names} == {"mixvae"}


def test_each_requirement_is_pinned_to_a_version_that_it_allows(
    project: dict[str, Any], repo_root: Path
) -> None:
    pins: dict[str, list[Requirement]] = {}
    for line in (repo_root / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pins.setdefault(Requirement(line).name, []).append(Requirement(line))
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(text for extra in extras.values() for text in extra)]:
        wanted = Requirement(text)
        for python in TESTED:
            environment = {"python_version": python, "python_full_version": f"{python}.9"}
            if wanted.marker is not None and not wanted.marker.evaluate(environment):
                continue
            fitting = [
                pin
                for pin in pins[wanted.name]
                if pin.marker is None or pin.marker.evaluate(environment)
            ]
            assert len(fitting) == 1, f"{wanted.name} on Python {python}: {fitting}"
            (version,) = (specifier.version for specifier in fitting[0].specifier)
            assert wanted.specifier.contains(version), f"{text} does not allow {version}"


def test_what_the_package_imports_is_declared(project: dict[str, Any], repo_root: Path) -> None:
    extras = project["optional-dependencies"]
    declared = {
        Requirement(text).name
        for text in project["dependencies"]
        + extras["cells"]
        + extras["sweep"]
        + extras["dashboard"]
    }
    imported = set()
    for file in (repo_root / "mixvae").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    # A notebook has imported IPython before mixvae draws its progress there.
    third_party = imported - set(sys.stdlib_module_names) - {"mixvae", "IPython"}
    assert {DISTRIBUTIONS.get(name, name) for name in third_party} <= declared


def test_the_tested_pythons_are_the_ones_declared(project: dict[str, Any], repo_root: Path) -> None:
    assert project["requires-python"] == f">={TESTED[0]}"
    prefix = "Programming Language :: Python :: 3."
    minors = {text.removeprefix(prefix) for text in project["classifiers"] if prefix in text}
    assert {f"3.{minor}" for minor in minors} == set(TESTED)
    (order,) = re.findall(r"for minor in (.*);", (repo_root / "Makefile").read_text())
    assert [f"3.{minor}" for minor in order.split()] == list(reversed(TESTED))


@pytest.mark.smoke
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_script_that_shows_help(
    command: str, project: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert project["scripts"].keys() == {f"mixvae-{name}" for name in COMMANDS}
    name = f"mixvae-{command}"
    module, _, function = project["scripts"][name].partition(":")
    assert callable(EntryPoint(name, f"{module}:{function}", "console_scripts").load())
    assert importlib.import_module(module).main(["--help"]) == 0
    assert f"mixvae.{command}" in capfd.readouterr().out


class Elsewhere:
    """A folder with an environment that has mixvae from its wheel and no source tree."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder / "unrelated"
        self.folder.mkdir()
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        (site_packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site_packages)
        # The dependencies come from this environment. A path named in a .pth file is searched, but
        # its own .pth files are not read: the editable install of mixvae stays out.
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (site_packages / "dependencies.pth").write_text("\n".join(sorted(paths)))

    def run(self, *arguments: str) -> str:
        """Run its Python there; return what it printed."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def elsewhere(tmp_path: Path, wheel: Path) -> Elsewhere:
    return Elsewhere(tmp_path, wheel)


@pytest.mark.slow
def test_the_wheel_alone_shows_help_and_trains(elsewhere: Elsewhere) -> None:
    where = elsewhere.run("-c", "import mixvae; print(mixvae.__file__)")
    assert str(elsewhere.python.parents[1]) in where
    shown = elsewhere.run("-m", "mixvae.train", "--help")
    assert re.search(r"\bdigits_cpl\b", shown)
    assert list(elsewhere.folder.iterdir()) == []
    elsewhere.run("-m", "mixvae.train", "+experiment=digits_cpl", "trainer.max_epochs=1")
    (summary,) = elsewhere.folder.rglob("summary.json")
    assert '"test/accuracy"' in summary.read_text()
