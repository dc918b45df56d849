"""The style sheet keeps text readable: contrast of every pair of colours that is used, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "governance" / "static" / "console" / "console.css").read_text()
TEXT = [
    *((ink, ground) for ink in ("ink", "soft") for ground in ("card", "ground", "accent-soft")),
    ("accent", "card"),
    ("accent", "ground"),
    ("accent", "accent-soft"),
    ("accent-ink", "accent"),
    *((tone, f"{tone}-soft") for tone in ("good", "bad", "wait")),
    *((tone, "card") for tone in ("good", "bad", "wait")),
    *(("ink", f"{tone}-soft") for tone in ("good", "bad", "wait")),
    *(("soft", f"{tone}-soft") for tone in ("bad",)),
]
EDGES = [("line-strong", "card"), ("line-strong", "ground")]


def colours(dark: bool) -> dict[str, str]:
    light, darker = re.findall(r":root \{(.*?)\}", CSS, re.S)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return {**found, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", darker))} if dark else found


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark: bool) -> None:
    known = colours(dark)
    poor = {
        (ink, ground): round(contrast(known[ink], known[ground]), 2)
        for pairs, least in ((TEXT, 4.5), (EDGES, 3.0))
        for ink, ground in pairs
        if contrast(known[ink], known[ground]) < least
    }
    assert poor == {}
