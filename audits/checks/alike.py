"""Whether two results of one input are the same, and which cells are not. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_SHOWN = 100
_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """One cell. `where` names it for people; a side that has no such cell is None."""

    where: str
    recorded: Any
    computed: Any

    def to_json(self) -> dict[str, Any]:
        return {"where": self.where, "recorded": self.recorded, "computed": self.computed}


def differences(recorded: Any, computed: Any, tolerance: float) -> Iterator[Difference]:
    """The cells in which two results (plain JSON) differ by more than `tolerance`, relative to the larger of 1 and
    the number. Only numbers that are not whole have a tolerance: a count, a text or a missing cell differs or not."""
    yield from _walk(recorded, computed, tolerance, "")


def _walk(first: Any, second: Any, tolerance: float, where: str) -> Iterator[Difference]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys((*first, *second)):
            path = f"{where}.{key}" if where else str(key)
            yield from _walk(first.get(key, _MISSING), second.get(key, _MISSING), tolerance, path)
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        for place in range(max(len(first), len(second))):
            mine = first[place] if place < len(first) else _MISSING
            theirs = second[place] if place < len(second) else _MISSING
            yield from _walk(mine, theirs, tolerance, f"{where}[{_name(mine, place)}]")
    elif not _alike(first, second, tolerance):
        yield Difference(where, _shown(first), _shown(second))


def _name(item: Any, place: int) -> str:
    """A metric or a table by its name, anything else by its place."""
    if not isinstance(item, dict):
        return str(place)
    parts = (
        [item.get(key) for key in ("metric", "attribute", "group")] if "metric" in item else [item.get("id")]
    )
    return " · ".join(str(part) for part in parts if part) or str(place)


def _alike(first: Any, second: Any, tolerance: float) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second)]
    if all(numbers):
        if first == second:
            return True
        if float(first).is_integer() and float(second).is_integer():
            return False
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    return type(first) is type(second) and bool(first == second)


def _shown(value: Any) -> Any:
    if value is _MISSING:
        return None
    if isinstance(value, dict | list | tuple):  # one side has a whole branch the other lacks
        return f"({len(value)})"
    return value
