from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from audits.plots import style

ROOT = Path(__file__).parents[2]
CSS = (ROOT / "audits" / "static" / "audits" / "plots.css").read_text()
BLOCKS = [
    dict(re.findall(r"--plot-([a-z0-9]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r"\.plot \{(.*?)\}", CSS, re.S)
    if "--plot-ink" in block
]
LIGHT, DARK, DARK_SYSTEM = BLOCKS


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_two_dark_themes_are_the_same() -> None:
    assert DARK == DARK_SYSTEM
    assert DARK.keys() == LIGHT.keys()


def test_every_class_has_a_rule() -> None:
    ruled = set(re.findall(r"\.(plot-[a-z0-9-]+)", CSS))
    assert set(style.STYLE) <= ruled


def test_every_rule_of_the_light_theme_says_what_the_fallback_says() -> None:
    rules: dict[tuple[str, str], str] = {}
    for names, body in re.findall(r"^((?:\.plot-[a-z0-9-]+(?:, )?)+) \{ ([^}]*) \}$", CSS, re.M):
        for prop, value in re.findall(r"(fill|stroke): var\(--plot-([a-z0-9]+)\)", body):
            for name in names.split(", "):
                rules[name[1:], prop] = LIGHT[value]
    wanted = {
        (name, prop): value
        for name, attributes in style.STYLE.items()
        for prop, value in attributes.items()
        if prop in {"fill", "stroke"} and value != "none" and name != "plot-background"
    }
    assert rules == wanted


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_marks_stand_out(theme: dict[str, str]) -> None:
    paper = theme["paper"]
    for name in ("ink", "soft"):
        assert contrast(theme[name], paper) >= 4.5, name
    for name in ("accent", "alert", "faint", *(f"s{index}" for index in range(8))):
        assert contrast(theme[name], paper) >= 3, name
    for index in range(5):
        assert contrast(theme[f"t{index}"], theme[f"h{index}"]) >= 4.5, index
    assert contrast(theme["accent"], theme["shade"]) >= 3
    assert contrast(theme["alert"], theme["shade"]) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_colour_scale_grows_lighter_all_the_way(theme: dict[str, str]) -> None:
    """Low and high stay apart for every kind of colour vision and in a grey print."""
    steps = [luminance(theme[f"r{index}"]) for index in range(len(style.RANKS))]
    assert steps == sorted(steps)
    assert all((b + 0.05) / (a + 0.05) > 1.08 for a, b in pairwise(steps))
    assert contrast(theme["r0"], theme["r6"]) >= 2.5
    assert all(contrast(theme[f"r{index}"], theme["paper"]) >= 2.5 for index in range(len(style.RANKS)))
