"""Equations as MathML, which browsers draw without a script and without a network."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Register the renderer `mathml`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(self: nodes.NodeVisitor, node: nodes.math) -> None:
    self.body.append(str(tex2mathml(node.astext(), as_block=False)))
    raise nodes.SkipNode


def _block(self: nodes.NodeVisitor, node: nodes.math_block) -> None:
    text = node.astext().strip()
    drawn = str(tex2mathml(text, as_block=True))
    self.body.append(f'<div class="equation" tabindex="0">{drawn}</div>')
    raise nodes.SkipNode
