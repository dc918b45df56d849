"""Which rows of a long table stand together on one figure: a figure cannot be broken, so a printer would cut or shrink
it. Each function gives the rows of every figure, and how many attributes are in none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from audits.plots import by_group, forest, rates
from audits.plots.reader import Row

A_SHEET = 34  # rows: what a sheet of paper holds at a size that can be read
Sheets = tuple[list[list[Row]], int]


def of_rates(rows: Sequence[Row]) -> Sheets:
    return _by_attribute(rows, lambda found: min(found, rates.MOST_GROUPS) + 2, rates.MOST_ATTRIBUTES)


def of_importance_by_group(rows: Sequence[Row]) -> Sheets:
    return _by_attribute(rows, lambda _found: by_group.MOST_FEATURES + 2, by_group.MOST_ATTRIBUTES)


def of_disparities(rows: Sequence[Row]) -> Sheets:
    """Ratios, differences of shares, and those in a unit of their own."""
    kinds: list[list[Row]] = [[], [], []]
    for row in rows:
        metric = str(row.get("metric")) if isinstance(row, Mapping) else ""
        kinds[0 if metric.endswith("_ratio") else 2 if metric in forest.UNBOUNDED else 1].append(row)
    return kinds, 0


def _by_attribute(rows: Sequence[Row], lines: Callable[[int], int], most: int) -> Sheets:
    """`lines`: how many rows of a figure an attribute of so many rows takes; `most` attributes are drawn."""
    attributes: dict[str | None, list[Row]] = {}
    for row in rows:
        key = row.get("attribute") if isinstance(row, Mapping) else None
        attributes.setdefault(key if isinstance(key, str) else None, []).append(row)
    sheets: list[list[Row]] = []
    left = 0
    for found in list(attributes.values())[:most]:
        taken = lines(len(found))
        if not sheets or taken > left:
            sheets.append([])
            left = A_SHEET
        sheets[-1] += found
        left -= taken
    return sheets, max(0, len(attributes) - most)
