"""Reading a figure back: what a browser, a screen reader and a printer would find in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from audits.plots import svg

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "title", "desc", "g", "rect", "line", "circle", "path", "text", "defs", "pattern"}

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "]]>&amp;&lt;!--",
    "nul\x00 bell\x07 esc\x1b del\x7f lone\ud800 non\uffff",
    "اسم من اليمين",
    "\u202egnp.exe\u2066",
    "x" * 500,
    "é" * 500,
    "名" * 500,
    "W" * 100_000,
    "",
    "   ",
    "%(n)s %s %d {0}",
    "line\none\ttwo",
    "👩‍👩‍👧‍👦" * 60,
    None,
    1.5,
    True,
)
NUMBERS = (
    None,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    -1e308,
    1e300,
    5e-324,
    10**400,
    -3,
    0,
    True,
    "7",
    [],
)


def pseudo(message: str) -> str:
    """A language that is half as long again, keeps the placeholders and has accents."""
    return message + "·" + "ãé" * (len(re.sub(r"%\(\w+\)s", "", message)) // 4)


def brazilian(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def tree(drawn: str) -> ET.Element:
    """The figure as XML; fails on anything a strict page must not meet."""
    root = ET.fromstring(drawn)
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    for node in root.iter():
        assert node.tag.removeprefix(SVG) in ALLOWED
        for name, value in node.attrib.items():
            assert name != "style"
            assert not name.startswith("on")
            assert "href" not in name
            assert "nan" not in value.lower().split()
            if "url(" in value:
                assert re.fullmatch(r"url\(#[\w-]+\)", value)
                assert value[5:-1] in ids
            if name in {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "rx"}:
                assert re.fullmatch(r"-?\d+(\.\d{1,2})?", value), (name, value)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == root[0].get("id")
    assert root.get("aria-describedby") == root[1].get("id")
    assert root[0].tag == SVG + "title"
    assert root[1].tag == SVG + "desc"
    return root


def described(drawn: str) -> str:
    """The text alternative."""
    return tree(drawn)[1].text or ""


def texts(drawn: str) -> list[str]:
    """The words that are drawn."""
    return [node.text or "" for node in tree(drawn).iter(SVG + "text")]


def marks(drawn: str, cls: str) -> list[dict[str, str]]:
    """The attributes of every element of a class, in the order of the document."""
    return [dict(node.attrib) for node in tree(drawn).iter() if cls in (node.get("class") or "").split()]


def outside(drawn: str) -> Iterator[tuple[str, float, float]]:
    """Texts that stick out of the figure, by the layer's own estimate of their width."""
    root = tree(drawn)
    width, height = (float(part) for part in (root.get("viewBox") or "").split()[2:])
    for node in root.iter(SVG + "text"):
        if node.get("transform"):
            continue
        content, x, y = node.text or "", float(node.get("x", "")), float(node.get("y", ""))
        room = svg.text_width(content, float(node.get("font-size", "12")))
        start = x - {"end": room, "middle": room / 2}.get(node.get("text-anchor", ""), 0.0)
        if start < -1 or start + room > width + 1 or not 0 < y <= height:
            yield content, start, start + room
