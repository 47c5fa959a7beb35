"""Settings of the documentation site, which `make docs` builds into build/docs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "site"))
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}

import docstrings
import generated
import mathml
from sphinx.application import Sphinx

import mixvae

project = "mixvae"
author = "The mixvae authors"
copyright = author
release = mixvae.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "mixvae"
html_static_path = ["site/static"]
html_css_files = ["own.css"]
html_js_files = ["own.js"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
# Tutorials run while the site is built, each in a folder of its own; a failing cell ends the build.
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True

default_role = "code"  # `name` in docstrings is code
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and units stand in the text; array types are long
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Files outside docs/ that pages link to, and the page that shows each.
SHOWN = {
    "../experiments/README.md": "measured.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
}


def show_outside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links to files outside docs/ to the pages that include these files."""
    for path, page in SHOWN.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")
    if docname == "index" and (HERE / "extend.md").is_file():
        source[0] = source[0].replace("\ncontributing\n", "\nextend\ncontributing\n")


def level_captions(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Give the captions of the navigation the level that screen readers need."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app: Sphinx) -> None:
    """Write the generated pages, and register the hooks."""
    mathml.setup(app)
    docstrings.setup(app)
    app.connect("builder-inited", lambda app: generated.write_pages(Path(app.srcdir)))
    app.connect("source-read", show_outside)
    app.connect("html-page-context", level_captions, priority=900)  # after the theme
