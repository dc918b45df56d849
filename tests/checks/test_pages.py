"""Every check has its page, which says what a reader needs, and every figure it can be judged by is named there."""

from __future__ import annotations

from pathlib import Path

import pytest

from audits.checks.catalogue import CATALOGUE

FOLDER = Path(__file__).parents[2] / "docs" / "checks"
PARTS = ("**What it measures.**", "**Formula and source.**", "**Limits.**", "**How to read it.**")


@pytest.mark.parametrize("slug", CATALOGUE)
def test_every_check_has_a_page_with_its_parts(slug: str) -> None:
    text = (FOLDER / f"{slug}.md").read_text()
    assert text.startswith(f"# {slug}\n")
    for part in PARTS:
        assert part in text, part
    assert f"[{slug}]({slug}.md)" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("slug", CATALOGUE)
def test_every_metric_is_on_its_page(slug: str) -> None:
    text = (FOLDER / f"{slug}.md").read_text()
    for metric in CATALOGUE[slug].metrics:
        base = metric.removesuffix("_difference") if slug.startswith("robustness") else metric
        assert metric.endswith("_flips") or f"`{base}`" in text, metric


@pytest.mark.parametrize("slug", CATALOGUE)
def test_every_parameter_is_on_its_page(slug: str) -> None:
    text = (FOLDER / f"{slug}.md").read_text()
    told = {"limits", "as_of"}  # filled in by whoever orders the check, never by a policy
    for name in CATALOGUE[slug].parameters["properties"]:
        assert name in told or f"`{name}" in text, name


def test_there_is_no_page_without_a_check() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} - {"README"} == set(CATALOGUE)
