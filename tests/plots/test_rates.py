from __future__ import annotations

import pytest

from audits.plots.rates import COLUMNS, group_rates_plot
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

Row = tuple[object, ...]


def row(
    attribute: object, name: object, n: object, rate: object, low: object, high: object, out: object = None
) -> Row:
    return (attribute, name, n, 40, 60, rate, low, high, 0.7, 0.2, 0.74, 0.75, 0.5, out)


SEX = [row("sex", "female", 104, 0.38, 0.3, 0.48), row("sex", "male", 1170, 0.5, 0.42, 0.6)]


def test_nothing_to_draw() -> None:
    assert group_rates_plot([]) == ""
    assert group_rates_plot(["text", 3, None]) == ""  # type: ignore[list-item]


def test_dots_and_intervals_stand_where_the_numbers_say() -> None:
    drawn = group_rates_plot(SEX, 0.8)
    ticks = {node["x1"] for node in marks(drawn, "plot-grid") if node["x1"] == node["x2"]}
    left, right = min(map(float, ticks)), max(map(float, ticks))  # 0.0 and 0.6
    place = {value: left + (right - left) * value / 0.6 for value in (0.3, 0.38, 0.4, 0.42, 0.48, 0.5, 0.6)}
    disc, _legend = marks(drawn, "plot-dot")
    assert float(disc["cx"]) == pytest.approx(place[0.5], abs=0.011)
    assert marks(drawn, "plot-dot-below")[0]["d"].startswith(
        "M" + f"{place[0.38]:.2f}".rstrip("0").rstrip(".")
    )
    (below,) = marks(drawn, "plot-interval-below")
    assert float(below["x1"]) == pytest.approx(place[0.3], abs=0.011)
    assert float(below["x2"]) == pytest.approx(place[0.48], abs=0.011)
    (band,) = marks(drawn, "plot-band")
    assert float(band["x"]) == pytest.approx(place[0.4], abs=0.011)
    assert float(band["x"]) + float(band["width"]) == pytest.approx(place[0.5], abs=0.02)
    (limit,) = marks(drawn, "plot-limit")
    assert limit["x1"] == limit["x2"] == band["x"]


def test_the_text_alternative_holds_every_number() -> None:
    assert described(group_rates_plot(SEX, 0.8)) == (
        "sex = female: 0.38 (0.30 – 0.48), n = 104, 0.760 of the highest rate. "
        "sex = male: 0.50 (0.42 – 0.60), n = 1,170, 1.000 of the highest rate. "
        "sex: limit 0.80 × 0.50 = 0.40; below it: female."
    )


def test_without_a_limit_nothing_is_compared() -> None:
    for limit in (None, 0.0, -1.0, 1.5, float("nan")):
        drawn = group_rates_plot(SEX, limit)
        assert not marks(drawn, "plot-band")
        assert not marks(drawn, "plot-dot-below")
        assert "ratio to highest" not in texts(drawn)


def test_an_excluded_group_is_greyed_with_its_reason_and_sets_no_rate() -> None:
    rows = [*SEX, row("sex", "other", 4, 0.9, 0.4, 1.0, "fewer than 10 positives")]
    drawn = group_rates_plot(rows, 0.8)
    assert "excluded: fewer than 10 positives" in texts(drawn)
    assert "0.80 × 0.50 = 0.40" in texts(drawn)
    assert "sex = other: 0.90 (0.40 – 1.00), n = 4, excluded: fewer than 10 positives." in described(drawn)
    assert len(marks(drawn, "plot-interval-excluded")) == 1


def test_reasons_are_rendered_for_the_reader() -> None:
    message = {"code": "small_group", "params": {"minimum": 10}}
    rows = [row("a", "x", 1, 0.5, 0.1, 0.9, message)]
    assert "excluded: menos de 10" in texts(
        group_rates_plot(rows, reason=lambda value: f"menos de {value['params']['minimum']}")
    )  # type: ignore[index]
    assert "excluded: small_group" in texts(group_rates_plot(rows))
    assert "excluded: not compared" in texts(group_rates_plot([row("a", "x", 1, 0.5, 0.1, 0.9, True)]))


def test_undefined_is_said_and_is_not_zero() -> None:
    drawn = group_rates_plot([*SEX, row("sex", "other", 0, None, None, None)], 0.8)
    assert "undefined" in texts(drawn)
    assert "sex = other: undefined, n = 0." in described(drawn)
    assert len(marks(drawn, "plot-dot")) == 2  # male and the legend


def test_a_rate_just_below_the_limit_is_not_rounded_onto_it() -> None:
    drawn = group_rates_plot([row("a", "x", 9, 0.39998, 0.3, 0.5), row("a", "y", 9, 0.5, 0.4, 0.6)], 0.8)
    assert "0.79996" in texts(drawn)
    assert len(marks(drawn, "plot-dot-below")) == 2  # the group and the legend


def test_each_attribute_has_its_own_highest_rate() -> None:
    drawn = group_rates_plot([*SEX, row("age", "old", 50, 0.9, 0.8, 0.95)], 0.8)
    assert {"0.80 × 0.50 = 0.40", "0.80 × 0.90 = 0.72"} <= set(texts(drawn))


def test_all_equal_and_all_zero_rates() -> None:
    same = group_rates_plot([row("a", str(index), 5, 0.5, 0.5, 0.5) for index in range(3)], 0.8)
    assert not marks(same, "plot-dot-below")
    zero = group_rates_plot([row("a", str(index), 5, 0.0, 0.0, 0.0) for index in range(3)], 0.8)
    assert not marks(zero, "plot-band")
    assert "a = 0: 0.00 (0.00 – 0.00), n = 5." in described(zero)


def test_of_too_many_groups_the_highest_and_the_lowest_are_drawn() -> None:
    rows = [row("a", f"g{index:02}", 50, (index + 1) / 100, 0.0, 1.0) for index in range(80)]
    drawn = group_rates_plot(rows, 0.8)
    names = [name for name in texts(drawn) if name.startswith("g")]
    assert names == [f"g{index:02}" for index in range(29)] + ["g79"]
    assert "a: 30 of 80 groups drawn, the highest rate and the lowest ones." in texts(drawn)


@pytest.mark.parametrize("limit", [None, 0.8])
def test_hostile_rows_stay_inside_a_well_formed_figure(limit: float | None) -> None:
    rows = [
        row(name, other, 10, 0.5, 0.4, 0.6, None if index % 3 else other)
        for index, name in enumerate(HOSTILE[:6])
        for other in HOSTILE
    ]
    rows += [row("numbers", repr(each)[:30], each, each, each, each) for each in NUMBERS]
    drawn = group_rates_plot(rows, limit, labels=pseudo, number=brazilian)
    tree(drawn)
    assert "<script" not in drawn
    assert "<img" not in drawn
    ordinary = group_rates_plot([row(name, name, 10, 0.5, 0.4, 0.6) for name in HOSTILE[:11]], limit)
    assert list(outside(ordinary)) == []
    assert list(outside(group_rates_plot(SEX, limit, labels=pseudo, number=brazilian))) == []


def test_the_same_rows_give_the_same_bytes_by_position_or_by_name() -> None:
    named = [dict(zip(COLUMNS, each, strict=True)) for each in SEX]
    assert group_rates_plot(SEX, 0.8) == group_rates_plot(named, 0.8) == group_rates_plot(iter(SEX), 0.8)


def test_a_long_winded_language_breaks_the_legend_and_leaves_room_to_draw() -> None:
    rows = [*SEX, row("sex", "other", 4, 0.9, 0.4, 1.0, "few")]
    drawn = group_rates_plot(rows, 0.8, labels=lambda message: f"{message} {'palavra ' * 8}".strip())
    assert list(outside(drawn)) == []
    legend = marks(drawn, "plot-dot-excluded")[1]
    assert float(legend["cy"]) > float(marks(drawn, "plot-dot")[1]["cy"])
    (axis,) = marks(drawn, "plot-axis")
    assert float(axis["x2"]) - float(axis["x1"]) >= 90
