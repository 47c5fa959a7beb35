"""The documentation site: it builds without a warning, and no page leads nowhere or loads anything.

The build runs the tutorials, so this is their test too.
"""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))


class Page(HTMLParser):
    """The links of a page, the addresses that it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.images_without_text = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given or (tag == "link" and given.get("rel") == "stylesheet"):
            self.loaded.append(given.get("src") or given["href"])


def broken_links(site: Path) -> list[str]:
    """Links of the site's pages whose file or heading is missing."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


def test_there_is_a_tutorial_for_each_kind_of_user() -> None:
    assert {path.stem for path in TUTORIALS} == {"images", "cells", "rats", "many_runs"}
    assert all("```{code-cell}" in path.read_text() for path in TUTORIALS)


def test_every_experiment_has_a_section_and_results_come_from_files_alone() -> None:
    sys.path.insert(0, str(ROOT / "docs/site"))
    try:
        import generated
    finally:
        sys.path.remove(str(ROOT / "docs/site"))
    text = generated.experiments_page()
    for path in (ROOT / "conf/experiment").glob("*.yaml"):
        assert f"\n## {path.stem}\n" in text
    digits = text.split("## digits_cpl\n")[1].split("\n## ")[0]
    assert "accuracy 0.939 ± 0.023" in digits
    assert "experiments.fresh" in digits
    assert "Measured" not in text.split("## glyphs_mmvm\n")[1].split("\n## ")[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the extra `docs` needs Python 3.11")
def test_the_site_builds_without_a_warning_and_no_link_is_broken(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(site)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert broken_links(site) == []
    for path in site.rglob("*.html"):
        assert not [address for address in Page(path).loaded if urlsplit(address).netloc], path
