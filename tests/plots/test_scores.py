from __future__ import annotations

import pytest

from audits.plots.scores import calibration_plot, confusion_plot, heat_step, radius, wilson
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

BINS = [(0.0, 0.5, 25, 0.25, 0.2), (0.5, 1.0, 100, 0.75, 0.8)]
CELLS = [("no", "no", 90), ("no", "yes", 10), ("yes", "no", 4), ("yes", "yes", 16)]


def test_wilson_matches_published_values() -> None:
    # Newcombe 1998, table I, method 3 (score without continuity correction).
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_a_calibration_without_a_filled_bin() -> None:
    assert calibration_plot([]) == ""
    assert calibration_plot([(0, 1, 0, 0.5, 0.5), (0, 1, 5, None, 0.5), (0, 1, 5, 0.5, 1.2)]) == ""


def test_the_points_of_a_calibration_stand_where_the_numbers_say() -> None:
    small, large = marks(calibration_plot(BINS), "plot-dot")[:2]
    assert (small["cx"], small["cy"], small["r"]) == ("147", "286", "4.5")  # 62 + 340·0.25, 354 − 340·0.2
    assert (large["cx"], large["cy"], large["r"]) == ("317", "82", "9")
    (diagonal, _key) = marks(calibration_plot(BINS), "plot-diagonal")
    assert [diagonal[name] for name in ("x1", "y1", "x2", "y2")] == ["62", "354", "402", "14"]
    bars = marks(calibration_plot(BINS), "plot-bar-count")
    assert [(bar["x"], bar["width"], bar["height"]) for bar in bars] == [
        ("63", "168", "13.5"),
        ("233", "168", "54"),
    ]


def test_the_area_of_a_point_grows_with_n() -> None:
    assert radius(100, 400) ** 2 * 4 == pytest.approx(radius(400, 400) ** 2)
    assert radius(1, 10**9) == 2.5


def test_the_text_alternative_of_a_calibration() -> None:
    assert described(calibration_plot(BINS, number=brazilian)) == (
        "scores 0,00 to 0,50: mean score 0,25, observed rate 0,20 (0,09 – 0,39), n = 25. "
        "scores 0,50 to 1,00: mean score 0,75, observed rate 0,80 (0,71 – 0,87), n = 100."
    )


def test_hostile_bins() -> None:
    for each in NUMBERS:
        drawn = calibration_plot([*BINS, (each, each, 3, 0.5, 0.5), (0, 1, each, each, each)])
        tree(drawn)
        assert list(outside(drawn)) == []
    assert list(outside(calibration_plot(BINS, labels=pseudo))) == []
    assert calibration_plot(BINS) == calibration_plot(list(reversed(BINS)))


def test_a_confusion_without_a_count() -> None:
    assert confusion_plot([]) == ""
    assert confusion_plot([("a", "a", 0), ("a", "b", None), ("b", "a", -4)]) == ""


def test_cells_show_counts_and_shares_of_their_row() -> None:
    drawn = confusion_plot(CELLS)
    assert [
        name for name in texts(drawn) if name in {"90", "0.90", "10", "0.10", "4", "0.20", "16", "0.80"}
    ] == (["90", "0.90", "10", "0.10", "4", "0.20", "16", "0.80"])
    shades = [len(marks(drawn, f"plot-heat-{step}")) for step in range(5)]
    assert shades == [1, 1, 0, 0, 2]
    first = marks(drawn, "plot-heat-4")[0]
    assert (first["y"], first["width"], first["height"]) == ("35", "82", "50")
    assert len(marks(drawn, "plot-cell-edge")) == 2
    assert described(drawn).startswith(
        "truth no, prediction no: n = 90, 0.90 of the row. truth no, prediction yes: n = 10"
    )


@pytest.mark.parametrize(("share", "step"), [(0, 0), (0.199, 0), (0.2, 1), (0.5, 2), (0.99, 4), (1, 4)])
def test_shades(share: float, step: int) -> None:
    assert heat_step(share) == step


def test_repeated_cells_are_added_and_a_class_never_true_has_no_share() -> None:
    drawn = confusion_plot([("a", "a", 1), ("a", "a", 2), ("a", "b", 1)])
    assert "truth a, prediction a: n = 3, 0.75 of the row." in described(drawn)
    assert "truth b, prediction a: n = 0, – of the row." in described(drawn)


def test_the_rarest_of_many_classes_are_added_up() -> None:
    drawn = confusion_plot([(f"c{index:02}", f"c{index:02}", 100 - index) for index in range(15)])
    assert "truth 4 other classes, prediction 4 other classes: n = 350, 1.00 of the row." in described(drawn)
    assert len(marks(drawn, "plot-cell-edge")) == 12


def test_hostile_cells() -> None:
    names = confusion_plot([(name, name, 3) for name in HOSTILE[:10]], labels=pseudo)
    tree(names)
    assert "<script" not in names
    for rows in ([(name, name, 3) for name in HOSTILE[:10]], [(name, name, 3) for name in HOSTILE], CELLS):
        assert list(outside(confusion_plot(rows))) == []
    assert list(outside(confusion_plot(CELLS, labels=pseudo, number=brazilian))) == []
    for each in NUMBERS:
        tree(confusion_plot([*CELLS, ("no", "no", each)]))
