"""The drawing layer under every plot: escaped elements, scales with nice ticks, text widths.

Standard library only and deterministic: same arguments, same bytes. Written for pages with a strict CSP, so
there is no style attribute, no style element, no script and no external reference. Colour is a class (see
`audits/static/audits/plots.css`) with a presentation attribute as fallback, which any rule of a stylesheet
overrides: a figure follows the page's theme, and the same bytes saved as a file still print.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from audits.plots.style import FONT_FAMILY, STYLE

FONT_SIZE = 12.0
LONGEST_NAME = 1000  # characters kept of a name, in its tooltip; what is drawn is cut to the room there is

# Helvetica's advance widths in 1/1000 em for U+0020 to U+007E (Adobe font metrics).
_ADVANCE = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_WIDER = (
    1.15  # Inter, the font of the shell, runs 6 % wider than Helvetica; DejaVu, where it is missing, 15 %
)
_BOLD = 1.06

# What XML 1.0 cannot carry at all, not even as a reference: it would make the document unreadable.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Directional controls reorder what stands beside them: a group could be made to read as another one.
_DIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_SPACES = re.compile(r"\s+")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Markup(str):
    """Text that is SVG already. Everything else handed to `el` is escaped."""

    __slots__ = ()


def escape(text: str) -> str:
    """`text` for element content or a quoted attribute; what XML cannot carry becomes U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text).translate(_ESCAPES)


def clean_name(value: object) -> str:
    """A name from somebody's data as one line that cannot reorder or hide its neighbours.

    Control, directional and invisible characters become U+FFFD, so that the reader sees that there was
    something. A name written from right to left is isolated, or it would turn the figures beside it round.
    """
    text = value if isinstance(value, str) else str(value)
    text = _SPACES.sub(" ", text[: LONGEST_NAME + 1]).strip()
    for pattern in (_ILLEGAL, _DIRECTIONAL, _INVISIBLE):
        text = pattern.sub("\ufffd", text)
    if len(text) > LONGEST_NAME:
        text = text[: LONGEST_NAME - 1] + "…"
    return text


def isolate(text: str) -> str:
    """`text` fenced off (U+2068 … U+2069) when it holds letters that run from right to left."""
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        return f"\u2068{text}\u2069"
    return text


def decimal(value: float) -> str:
    """A coordinate with at most two decimals, without a trailing zero, never an exponent and never `-0`."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def el(tag: str, *children: str, cls: str | None = None, **attributes: str | float | None) -> Markup:
    """One element. Plain text children are escaped, `Markup` is not; `text_anchor=` is `text-anchor`; None is
    left out.

    `cls` is one or more class names; each brings its fallback presentation attributes from `STYLE`.
    """
    merged: dict[str, str | float | None] = {}
    if cls is not None:
        merged["class"] = cls
        for name in cls.split():
            merged.update(STYLE.get(name, {}))
    merged.update({name.replace("_", "-"): value for name, value in attributes.items()})
    parts = [tag]
    for name, value in merged.items():
        if value is not None:
            text = escape(value) if isinstance(value, str) else decimal(value)
            parts.append(f'{name}="{text}"')
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    head = " ".join(parts)
    return Markup(f"<{head}>{inner}</{tag}>" if inner else f"<{head}/>")


def group(*children: str, title: str = "", cls: str | None = None) -> Markup:
    """A `g` with a tooltip of its own (a `title` must come first to be shown)."""
    return el("g", *([el("title", title)] if title else []), *children, cls=cls)


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> Markup:
    return el("line", cls=cls, x1=x1, y1=y1, x2=x2, y2=y2)


def rect(x: float, y: float, width: float, height: float, cls: str, rx: float | None = None) -> Markup:
    """A rectangle; a negative width or height is drawn as none."""
    return el("rect", cls=cls, x=x, y=y, width=max(0.0, width), height=max(0.0, height), rx=rx)


def text(
    x: float,
    y: float,
    content: str,
    cls: str = "plot-text",
    anchor: str | None = None,
    transform: str | None = None,
) -> Markup:
    return el("text", content, cls=cls, x=x, y=y, text_anchor=anchor, transform=transform)


def identifier(prefix: str, name: str) -> str:
    """An id of the page: letters, digits, `-` and `_` only, starting with a letter."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", prefix)
    if not re.match(r"[A-Za-z]", safe):
        safe = f"plot-{safe}"
    return f"{safe}-{name}"


def document(
    prefix: str, kind: str, title: str, description: str, width: float, height: float, *children: str
) -> Markup:
    """The whole figure: `title` names it, `description` says in words what it shows, for those who cannot see
    it.

    Everything inside is one image to assistive technology, so the description has to carry the figures.
    """
    title_id, description_id = identifier(prefix, "title"), identifier(prefix, "desc")
    return el(
        "svg",
        el("title", title, id=title_id),
        el("desc", description, id=description_id),
        rect(0, 0, width, height, "plot-background"),
        *children,
        cls=f"plot plot-{kind}",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {decimal(width)} {decimal(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=title_id,
        aria_describedby=description_id,
        direction="ltr",  # a right-to-left page would mirror every text anchor
        font_family=FONT_FAMILY,
        font_size=FONT_SIZE,
    )


def finite(value: object) -> float | None:
    """`value` as a number one can draw, or None: no text, no truth value, no NaN, no infinity, nothing above
    1e300.

    What is too near to 0 to be divided by counts as 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number) or abs(number) > 1e300:
        return None
    return number if abs(number) >= 1e-290 else 0.0


def count(value: object) -> int | None:
    """A number of rows, or None where it is not one."""
    number = finite(value)
    return None if number is None or number < 0 else int(number)


def nice_step(span: float, target: int) -> float:
    """The step from {1, 2, 2.5, 5}·10^k that cuts `span` into about `target` parts, never into more than 1.5
    times."""
    raw = span / max(1, target)
    exponent = math.floor(math.log10(raw))
    base = 10.0**exponent
    for factor in (1.0, 2.0, 2.5, 5.0):
        if raw <= factor * base * 1.0000001:
            return factor * base
    return 10.0 * base


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] to [start, end] pixels; what lies outside is drawn on the edge."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...] = ()
    decimals: int = 0

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def nice_scale(low: float, high: float, start: float, end: float, target: int = 5) -> Scale:
    """A scale whose ends and ticks are round numbers and which holds [low, high], however narrow or wide."""
    low, high = min(low, high), max(low, high)
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-9 or high - low < 1e-290:  # one value only: room on both sides
        margin = size * 0.1 if size > 1e-280 else 0.5
        low, high = low - margin, high + margin
    step = nice_step(high - low, target)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = min(300, max(0, -math.floor(math.log10(step) + 1e-9)))
    if round(step, decimals) != step and abs(round(step, decimals) - step) > step * 1e-6:  # 0.25, 0.025
        decimals += 1
    ticks = tuple(round(index * step, decimals) for index in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, ticks, decimals)


def text_width(content: str, size: float = FONT_SIZE, bold: bool = False) -> float:
    """About how many pixels `content` takes, rather too many than too few. Unknown fonts are unknown: an
    estimate."""
    total = 0.0
    for character in unicodedata.normalize("NFD", content):
        code = ord(character)
        if 0x20 <= code < 0x7F:
            total += _ADVANCE[code - 0x20] / 1000
        elif unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        elif unicodedata.east_asian_width(character) in ("W", "F"):
            total += 1.0
        elif unicodedata.category(character) == "Lu" or code > 0x2FFF:
            total += 0.8
        else:
            total += 0.62
    return total * size * _WIDER * (_BOLD if bold else 1.0)


def fit(content: str, room: float, size: float = FONT_SIZE, bold: bool = False) -> str:
    """`content`, cut with an ellipsis when it does not fit; an accent is never cut from its letter."""
    if text_width(content, size, bold) <= room:
        return content
    left = 0
    right = min(len(content), 400)  # no room holds more
    while left < right:  # the longest beginning that fits: widths only grow
        middle = (left + right + 1) // 2
        if text_width(content[:middle] + "…", size, bold) <= room:
            left = middle
        else:
            right = middle - 1
    while 0 < left < len(content) and _continues(content[left - 1], content[left]):
        left -= 1
    return content[:left].rstrip() + "…"


def _continues(previous: str, following: str) -> bool:
    joiner = "\u200d"
    return previous == joiner or following == joiner or unicodedata.category(following) in ("Mn", "Me", "Mc")


def label(
    x: float,
    y: float,
    name: str,
    room: float,
    cls: str = "plot-text",
    anchor: str | None = None,
    bold: bool = False,
) -> Markup:
    """A name in the room there is, with the whole of it as a tooltip where it was cut."""
    shown = fit(name, room, bold=bold)
    drawn = text(x, y, isolate(shown), cls, anchor)
    return drawn if shown == name else group(drawn, title=isolate(name))
