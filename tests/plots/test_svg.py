from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.plots import svg
from tests.plots.reading import HOSTILE, NUMBERS


def test_an_element_escapes_text_and_attributes_but_not_markup() -> None:
    inner = svg.el("title", "a<b & 'c' \"d\"")
    assert inner == "<title>a&lt;b &amp; &#39;c&#39; &quot;d&quot;</title>"
    assert svg.el("g", inner, data_name='"><x') == f'<g data-name="&quot;&gt;&lt;x">{inner}</g>'


def test_an_element_leaves_none_out_and_writes_short_coordinates() -> None:
    assert svg.el("rect", x=1.0, y=-0.001, width=2.5, height=3.14159, rx=None) == (
        '<rect x="1" y="0" width="2.5" height="3.14"/>'
    )


def test_a_class_brings_its_fallback_and_an_argument_wins() -> None:
    assert svg.el("rect", cls="plot-band") == '<rect class="plot-band" fill="#e3eefa"/>'
    assert svg.el("rect", cls="plot-band", fill="none") == '<rect class="plot-band" fill="none"/>'


@given(st.text())
def test_any_text_becomes_well_formed(content: str) -> None:
    node = ET.fromstring(svg.el("text", content, note=content))
    expected = "".join("\ufffd" if svg._ILLEGAL.match(each) else each for each in content)
    assert (node.text or "") == expected.replace("\r\n", "\n").replace("\r", "\n")


def test_names_lose_what_could_reorder_or_hide_their_neighbours() -> None:
    assert svg.clean_name("a\u202eb\u2066c\u200bd\x00e") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert svg.clean_name(" a \n\t b ") == "a b"
    assert svg.clean_name("x" * 5000) == "x" * 999 + "…"
    assert svg.clean_name(1.5) == "1.5"


def test_names_from_right_to_left_are_fenced_off() -> None:
    assert svg.isolate("abc é 1") == "abc é 1"
    assert svg.isolate("اسم") == "\u2068اسم\u2069"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("p1", "p1-title"), ("1 <x>", "plot-1--x--title"), ("", "plot--title"), ('a"b', "a-b-title")],
)
def test_identifiers_are_safe(prefix: str, expected: str) -> None:
    assert svg.identifier(prefix, "title") == expected


def test_only_what_can_be_drawn_is_a_number() -> None:
    assert [svg.finite(value) for value in NUMBERS] == [
        *(None, None, None, None, None, None),
        *(1e300, 0.0, None, -3.0, 0.0, None, None, None),
    ]
    assert [svg.count(value) for value in (3, 3.0, -1, None, "3", float("nan"))] == [
        3,
        3,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("low", "high", "ticks", "decimals"),
    [
        (0, 1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 1),
        (0, 0.84, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 1),
        (0, 0.1, (0.0, 0.02, 0.04, 0.06, 0.08, 0.1), 2),
        (-0.19, 0.23, (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3), 1),
        (0, 1.2, (0.0, 0.25, 0.5, 0.75, 1.0, 1.25), 2),
        (0, 1234, (0.0, 250.0, 500.0, 750.0, 1000.0, 1250.0), 0),
        (5, 5, (4.4, 4.6, 4.8, 5.0, 5.2, 5.4, 5.6), 1),
        (0, 0, (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6), 1),
    ],
)
def test_scales_have_round_ticks(low: float, high: float, ticks: tuple[float, ...], decimals: int) -> None:
    scale = svg.nice_scale(low, high, 0, 100)
    assert scale.ticks == ticks
    assert scale.decimals == decimals


def test_a_scale_is_linear_and_holds_back_what_lies_outside() -> None:
    scale = svg.nice_scale(0, 1, 100, 300)
    assert [scale(value) for value in (0, 0.25, 1, -5, 7)] == [100, 150, 300, 100, 300]
    downwards = svg.nice_scale(0, 1, 300, 100)
    assert downwards(0.75) == 150


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_any_scale_holds_its_values_with_few_ticks(low: float, high: float) -> None:
    low, high = svg.finite(low) or 0.0, svg.finite(high) or 0.0
    scale = svg.nice_scale(low, high, 10, 90)
    assert 2 <= len(scale.ticks) <= 12
    slack = max(abs(low), abs(high)) * 1e-8
    assert scale.low <= min(low, high) + slack
    assert scale.high >= max(low, high) - slack
    assert all(math.isfinite(scale(value)) and 10 <= scale(value) <= 90 for value in (low, high))


def test_widths_follow_the_letters() -> None:
    assert svg.text_width("00", 10) == pytest.approx(2 * 5.56 * 1.15)
    assert svg.text_width("é", 10) == svg.text_width("e", 10)
    assert svg.text_width("名", 10) == pytest.approx(11.5)
    assert svg.text_width("", 10) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_is_cut_fits(name: object) -> None:
    cleaned = svg.clean_name(name)
    for room in (20.0, 100.0, 400.0):
        shown = svg.fit(cleaned, room)
        assert svg.text_width(shown) <= room
        assert shown == cleaned or shown.endswith("…")


def test_an_accent_stays_with_its_letter() -> None:
    name = "e\u0301" * 100
    for room in range(20, 100):
        assert svg.fit(name, room).removesuffix("…").endswith("\u0301")


def test_a_cut_label_keeps_the_whole_name_as_its_tooltip() -> None:
    long = "x" * 500
    drawn = svg.label(0, 0, long, 60)
    assert f"<title>{long}</title>" in drawn
    assert drawn.count("x") < 520
    assert "<title>" not in svg.label(0, 0, "short", 60)
