"""The stored form of a reference sketch, read strictly, and what makes sure that it tells of nobody.

Standard library only: the worker's own process looks at what its confined child made before anything is stored, and it
imports neither numpy nor pandas. docs/adr/0011 says why the cells are as they are.

A sketch of format 2 is
    {format, k, rows, columns: {name: cells},
     groups: {attribute: {bins, names, rows, merged, columns: {name: [cells]}}}}
with cells = {kind, edges, levels, counts, missing}. The groups of an attribute stand largest first; `merged` names the
one with which fewer than k rows of smaller groups are counted, or is null. The cells of a group are those of the group
before it put together, the first one's those of the column put together. `missing` null: fewer than k cells of the
column are empty, and they are counted with its last one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from audits.checks.contract import CheckError

FIRST, FORMAT = "crivo-sketch-1", "crivo-sketch-2"
K = 10  # fewest rows behind a cell of a stored sketch
LEAST_GROUP = 30  # fewest rows of a group that is named
MAX_BINS = 100
MAX_LEVELS = 100
MAX_GROUPS = 50  # of one attribute
MAX_COLUMNS = 10_000
MAX_TEXT = 200  # characters of a level or group that is named
MAX_BYTES = 8 << 20
DIGITS = 17  # that count, of an edge: all there are
ZONE_DIGITS = 4  # of an edge that leaves a data zone: the numbers on a person's papers have more
MAX_ROWS = 2**53 - 1
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Sketch:
    """One column. numbers: `edges` ascending, counts of (-∞, e0], (e0, e1], …, (e_last, ∞). categories: `levels` and
    their counts, then one count of all others. `missing` cells are counted apart, or with the last count (None);
    infinite ones are refused."""

    kind: str  # numbers | categories | empty
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int | None

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def rows(self) -> int:
        return self.n + (self.missing or 0)

    @property
    def cells(self) -> tuple[int, ...]:
        """All counts, the empty cells last where they are a cell of their own."""
        return self.counts if self.missing is None else (*self.counts, self.missing)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "edges": list(self.edges),
            "levels": list(self.levels),
            "counts": list(self.counts),
            "missing": self.missing,
        }


@dataclass(frozen=True)
class Attribute:
    """The groups of one sensitive column, largest first; `columns`: for each other column a sketch of each group."""

    bins: tuple[float, ...]
    names: tuple[str, ...]
    rows: tuple[int, ...]
    merged: str | None
    columns: Mapping[str, tuple[Sketch, ...]]

    def to_json(self) -> dict[str, Any]:
        return {
            "bins": list(self.bins),
            "names": list(self.names),
            "rows": list(self.rows),
            "merged": self.merged,
            "columns": {name: [cells.to_json() for cells in row] for name, row in self.columns.items()},
        }


@dataclass(frozen=True)
class Reference:
    """A whole table's sketch. `groups` is None in format 1, which knows none."""

    rows: int
    k: int
    columns: Mapping[str, Sketch]
    groups: Mapping[str, Attribute] | None = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "k": self.k,
            "rows": self.rows,
            "columns": {name: cells.to_json() for name, cells in self.columns.items()},
            "groups": {name: each.to_json() for name, each in (self.groups or {}).items()},
        }


def from_bytes(content: bytes) -> Reference:
    """CheckError `sketch_too_large` or `sketch_unreadable` on anything that is no sketch."""
    if len(content) > MAX_BYTES:
        raise CheckError("sketch_too_large", limit_bytes=MAX_BYTES)
    try:
        data = json.loads(content.decode(), parse_constant=_no_number)
    except UNREADABLE:
        raise CheckError("sketch_unreadable") from None
    return from_json(data)


def _no_number(name: str) -> float:
    raise ValueError(name)


def from_json(data: Any) -> Reference:
    """CheckError `sketch_unreadable` on anything that is not a sketch of format 1 or 2."""
    try:
        if data["format"] == FIRST:
            columns = {_text(name): _cells(item) for name, item in data["columns"].items()}
            return Reference(_count(data["rows"]), K, columns, None)
        if data["format"] != FORMAT or set(data) != {"format", "k", "rows", "columns", "groups"}:
            raise ValueError
        return _second(data)
    except UNREADABLE:
        raise CheckError("sketch_unreadable") from None


def _second(data: Mapping[str, Any]) -> Reference:
    rows, k = _count(data["rows"]), _count(data["k"])
    if k < 2 or len(data["columns"]) > MAX_COLUMNS:
        raise ValueError
    columns = {_text(name): _cells(item) for name, item in data["columns"].items()}
    if any(each.rows != rows for each in columns.values()):
        raise ValueError
    groups = {_text(name): _attribute(item, columns) for name, item in data["groups"].items()}
    if any(sum(each.rows) > rows for each in groups.values()):
        raise ValueError
    return Reference(rows, k, columns, groups)


def _attribute(item: Mapping[str, Any], columns: Mapping[str, Sketch]) -> Attribute:
    names, rows = tuple(map(_text, item["names"])), tuple(map(_count, item["rows"]))
    if len(names) != len(rows) or len(set(names)) != len(names) or len(names) > MAX_GROUPS:
        raise ValueError
    if list(rows) != sorted(rows, reverse=True) or item["merged"] not in (None, *names):
        raise ValueError
    found = {}
    for name, row in item["columns"].items():
        each = tuple(map(_cells, row))
        if len(each) != len(names) or [cells.rows for cells in each] != list(rows):
            raise ValueError
        for whole, part in pairwise((columns[name], *each)):
            places(whole, part)
        found[_text(name)] = each
    return Attribute(_ascending(item["bins"]), names, rows, item["merged"], found)


def _cells(item: Mapping[str, Any]) -> Sketch:
    kind, edges, levels = item["kind"], _ascending(item["edges"]), tuple(map(_text, item["levels"]))
    counts = tuple(map(_count, item["counts"]))
    missing = None if item["missing"] is None else _count(item["missing"])
    cells = {"numbers": len(edges) + 1, "categories": len(levels) + 1, "empty": 0}[kind]
    if len(counts) != cells or len(set(levels)) != len(levels) or cells > max(MAX_BINS, MAX_LEVELS + 1):
        raise ValueError
    if (kind != "numbers" and edges) or (kind != "categories" and levels) or (not cells and missing is None):
        raise ValueError
    return Sketch(kind, edges, levels, counts, missing)


def _ascending(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
        raise ValueError
    edges = tuple(map(float, values))
    if not all(map(math.isfinite, edges)) or any(low >= high for low, high in pairwise(edges)):
        raise ValueError
    return edges


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ROWS:
        raise ValueError
    return value


def places(whole: Sketch, part: Sketch) -> list[int]:
    """For each of `whole.cells` the cell of `part` that it goes into. ValueError where they do not fit together."""
    if whole.kind != part.kind or (whole.missing is None and part.missing is not None):
        raise ValueError
    if part.kind == "numbers":
        if not set(part.edges) <= set(whole.edges):
            raise ValueError
        found, at = [], 0
        for edge in (*whole.edges, math.inf):
            found.append(at)
            at += at < len(part.edges) and edge == part.edges[at]
    elif part.kind == "categories":
        if not set(part.levels) <= set(whole.levels):
            raise ValueError
        place = {level: at for at, level in enumerate(part.levels)}
        found = [place.get(level, len(part.levels)) for level in whole.levels] + [len(part.levels)]
    else:
        found = []
    if whole.missing is not None:
        found.append(len(part.cells) - 1)  # the last one, also where it is not a cell of its own any more
    return found


def put_together(cells: tuple[int, ...] | list[int], where: list[int]) -> list[int]:
    """Counts added up in the cells that `places` says."""
    found = [0] * (max(where) + 1 if where else 0)
    for count, place in zip(cells, where, strict=True):
        found[place] += count
    return found


def small_cells(found: Reference) -> Iterator[str]:
    """Where fewer than k rows (and not none) could be told apart, as `column` or `column by attribute`.

    Not only the cells: also what is left of a column's cells without the largest, the two largest, … groups of an
    attribute. With that no union or difference of what is stored about a column and an attribute holds from 1 to k-1
    rows (docs/adr/0011).
    """
    if found.rows < found.k:
        yield "rows"
    for name, whole in found.columns.items():
        if any(0 < count < found.k for count in whole.cells):
            yield name
    for attribute, each in (found.groups or {}).items():
        if any(count < max(found.k, LEAST_GROUP) for count in each.rows):
            yield attribute
        if 0 < found.rows - sum(each.rows) < found.k:
            yield attribute
        for name, parts in each.columns.items():
            if _tells(found.columns[name], parts, found.k):
                yield f"{name} by {attribute}"


def admitted(data: Any, k: int, digits: int | None = None) -> Reference:
    """What may be stored, with cells of `k` rows and edges of at most so many digits. CheckError for anything else:
    `sketch_tells_too_much`, and those of `from_json`."""
    found = from_json(data)
    if found.groups is None or found.k != k or next(small_cells(found), None) is not None:
        raise CheckError("sketch_tells_too_much", minimum=k)
    edges = (edge for whole in found.columns.values() for edge in whole.edges)
    if digits is not None and any(float(f"{edge:.{digits - 1}e}") != edge for edge in edges):
        raise CheckError("sketch_tells_too_much", minimum=k)
    return found


def _tells(whole: Sketch, parts: tuple[Sketch, ...], k: int) -> bool:
    before, left = whole, list(whole.cells)
    for part in parts:
        left = put_together(left, places(before, part))
        left = [rest - count for rest, count in zip(left, part.cells, strict=True)]
        if any(0 < count < k for count in part.cells) or any(rest < 0 or 0 < rest < k for rest in left):
            return True
        before = part
    return False
