"""What the documents say is what the code does: diagrams, variables, links, commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from governance.states import OPEN_PROMOTION, PROMOTION
from registry.metadata import SCHEMA, validated

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_the_diagram_of_a_promotion_is_the_table() -> None:
    first = next(iter(PROMOTION))
    lines = [f"  [*] --> {first}"]
    for state in OPEN_PROMOTION:
        lines += [f"  {state} --> {wanted}" for wanted in PROMOTION if wanted in PROMOTION[state]]
    drawn = "stateDiagram-v2\n" + "\n".join(lines) + "\n"
    assert drawn in (ROOT / "docs" / "architecture.md").read_text(), drawn


def test_every_variable_is_documented() -> None:
    settings = (ROOT / "governance" / "settings.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', settings))
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    internal = {"CRIVO_OWNER_ROLE"}
    assert read - documented - internal == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def test_paths_named_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for path in re.findall(r"`((?:audits|registry|governance|tests|templates)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_careful_words() -> None:
    """We say "disparity of 0.12" and "within policy"; nothing is ever called fair, unbiased or compliant."""
    forbidden = re.compile(r"\b(fair|unbiased|compliant)\b", re.IGNORECASE)
    for folder in ("audits", "registry", "governance", "templates", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".html", ".md", ".po", ".yaml") and "static" not in path.parts:
                for number, line in enumerate(path.read_text().splitlines(), start=1):
                    assert not forbidden.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_the_page_on_metadata_is_the_schema() -> None:
    text = (ROOT / "docs" / "metadata.md").read_text()
    example = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    assert validated(example) == example
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w, ]*?) ?\|", text, re.MULTILINE))
    assert set(rows) == set(SCHEMA["properties"])
    assert {name for name, when in rows.items() if when == "yes"} == set(SCHEMA["required"])
