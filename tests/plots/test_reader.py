from __future__ import annotations

import pytest

from audits.plots.reader import Reader, as_mappings, places_for
from tests.plots.reading import brazilian

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        (0.4321, 2, "0.43"),
        (-0.4321, 2, "−0.43"),
        (-0.0, 2, "0.00"),
        (0.001, 2, f"<{NBSP}0.01"),
        (-0.001, 2, f">{NBSP}−0.01"),
        (1234.5, 1, "1,234.5"),
        (None, 2, "–"),
        (1.5e9, 2, "1.50 × 10⁹"),
        (-1e300, 0, "−1.00 × 10³⁰⁰"),
        (9.999e8, 0, "1.00 × 10⁹"),
        (2.5e-9, 10, "2.50 × 10⁻⁹"),
    ],
)
def test_numbers_never_deny_what_they_stand_for(value: float | None, places: int, expected: str) -> None:
    assert Reader().decimals(value, places) == expected


def test_numbers_follow_the_locale() -> None:
    reader = Reader(number=brazilian)
    assert reader.decimals(-1234.5, 2) == "−1.234,50"
    assert reader.interval(0.361, 0.508) == "0,36 – 0,51"
    assert reader.interval(None, 0.5) == ""
    assert reader.count(12345) == "12.345"
    assert reader.signed(0.5, 1) == "+0,5"
    assert reader.signed(-0.5, 1) == "−0,5"


def test_a_ratio_never_reads_like_the_limit_it_misses() -> None:
    reader = Reader()
    assert reader.apart(0.79996, 0.8) == "0.79996"
    assert reader.apart(0.8, 0.8) == "0.800"
    assert reader.apart(0.75, 0.8) == "0.750"


def test_absent_and_empty_names_are_said_to_be_so() -> None:
    reader = Reader(gettext={"(unknown)": "(desconhecido)", "(empty)": "(vazio)"}.__getitem__)
    assert [reader.name(value) for value in (None, "", "  ", "a", 3)] == [
        "(desconhecido)",
        "(vazio)",
        "(vazio)",
        "a",
        "3",
    ]


@pytest.mark.parametrize(
    ("value", "places"), [(0.0, 2), (0.123, 3), (1.0, 2), (12.0, 1), (1234.0, 0), (1e-5, 7)]
)
def test_places_show_three_figures(value: float, places: int) -> None:
    assert places_for(value) == places


def test_rows_come_as_sequences_or_mappings() -> None:
    assert as_mappings([(1,), {"a": 2, "z": 3}, "no", 5, [1, 2, 3]], ("a", "b")) == [  # type: ignore[list-item]
        {"a": 1, "b": None},
        {"a": 2, "z": 3},
        {"a": 1, "b": 2},
    ]
