"""Comparing labels that took different roads: a CSV reads 1, JSON declares "1", a model predicts 1.0 or True.

Every comparison of labels in the checks goes through `canonical`; nothing compares raw values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError

Codes = npt.NDArray[np.int64]

# float() would also take "1_000", "inf" and "nan": those stay text.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLEAN = {"true": "1", "false": "0"}
SHOWN = 5
SHOWN_CHARACTERS = 40


def canonical(label: Any) -> str | None:
    """The one text of a label: 1, 1.0, "1", " 1 " and True are "1"; a missing label is None."""
    if label is None or label is pd.NA or label is pd.NaT:
        return None
    if isinstance(label, (bool, np.bool_)):
        return "1" if label else "0"
    if isinstance(label, (int, np.integer)):
        return str(int(label))
    if isinstance(label, (float, np.floating)):
        return _number(float(label))
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    text = str(label).strip()
    if _NUMBER.fullmatch(text):
        try:
            return str(int(text))  # exact beyond 2**53
        except ValueError:
            return _number(float(text))
    return _BOOLEAN.get(text.lower(), text)


def _number(value: float) -> str | None:
    if math.isnan(value):
        return None
    if math.isfinite(value) and value == int(value):
        return str(int(value))
    return repr(value)


def canonical_column(values: Any) -> tuple[Codes, tuple[str, ...]]:
    """Codes and sorted level names of a column; a missing value has code -1.

    Only distinct values are converted, so a million rows of two labels cost two conversions.
    """
    raw, distinct = pd.factorize(pd.Series(values), use_na_sentinel=True)
    names = [canonical(value) for value in distinct]
    levels = tuple(sorted({name for name in names if name is not None}))
    place = {name: position for position, name in enumerate(levels)}
    lookup = np.array([*(-1 if name is None else place[name] for name in names), -1], dtype=np.int64)
    return lookup[np.asarray(raw, dtype=np.int64)], levels


def recode(codes: Codes, levels: Sequence[str], onto: Sequence[str]) -> Codes:
    """Codes of `levels` as codes of `onto`; -1 where a level is not among them."""
    place = {name: position for position, name in enumerate(onto)}
    lookup = np.array([*(place.get(name, -1) for name in levels), -1], dtype=np.int64)
    return lookup[codes]


def canonical_classes(classes: Iterable[Any]) -> tuple[str, ...]:
    """Class names in the model's order.

    Raises CheckError `labels_ambiguous` when two classes read the same ("1" and 1).
    """
    names = tuple(str(canonical(value)) for value in classes)
    if len(set(names)) != len(names):
        raise CheckError("labels_ambiguous", labels=listed(names))
    return names


def listed(names: Iterable[Any]) -> str:
    """At most five names, each cut short, for a sentence."""
    items = [str(name) for name in names]
    shown = ", ".join(
        name if len(name) <= SHOWN_CHARACTERS else name[: SHOWN_CHARACTERS - 1] + "…"
        for name in items[:SHOWN]
    )
    return shown if len(items) <= SHOWN else f"{shown} … ({len(items)})"
