"""One check over several workers: laid out, computed part by part, concluded. Entry points of the confined child.

A check that can be mapped names a module in the catalogue with three functions; what they exchange is JSON:
    survey(inputs, materials) -> dict | None            what has to be known of all rows first; None: not in parts
    compute(inputs, materials, survey, frames) -> dict  what is counted of some rows
    conclude(inputs, materials, survey, results) -> CheckResult   from what was counted of all
What they give together has the same bytes as the check's one pass. Wherever that is not certain (a part that errors,
say) the worker lets the check have its one pass, which then also has the words for what is wrong.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pandas as pd

from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckInput
from audits.checks.execute import guarded_answer, plain
from audits.checks.materials import Materials

ROLE = "evaluation"


def lay_out(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """{survey, spans: [{first, last, rows}]}: the batches `first` to `last` (without it) are one part, of `part_rows`
    rows or a few more. No spans where there are fewer than `map_rows` rows or two parts, or the check has its one pass.
    """
    asked, inputs, materials = _given(question, files)
    parts = materials.parts(ROLE)
    enough = parts is not None and parts.rows >= int(asked["map_rows"])
    spans = _spans(parts.sizes, int(asked["part_rows"])) if parts is not None and enough else []
    if len(spans) < 2:
        return {"survey": None, "spans": []}
    survey = _module(inputs).survey(inputs, materials)
    return {"survey": plain(survey), "spans": spans if survey is not None else []}


def compute(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """{rows, counted} of one span."""
    asked, inputs, materials = _given(question, files)
    parts, rows = materials.parts(ROLE), 0
    if parts is None:
        raise ValueError("not in parts")

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal rows
        for frame in parts.frames(span=range(int(asked["first"]), int(asked["last"]))):
            rows += len(frame)
            yield frame

    counted = _module(inputs).compute(inputs, materials, asked["survey"], frames())
    if rows != asked["rows"]:
        raise ValueError("rows")
    return {"rows": rows, "counted": plain(counted)}


def conclude(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """The result of the check, from what was counted of all parts."""
    asked, inputs, materials = _given(question, files)
    return guarded_answer(
        lambda: _module(inputs).conclude(inputs, materials, asked["survey"], asked["results"])
    )


def _given(
    question: dict[str, Any], files: dict[str, BinaryIO]
) -> tuple[dict[str, Any], CheckInput, Materials]:
    asked = question["mapped"]
    inputs = CheckInput.from_json({name: value for name, value in question.items() if name != "mapped"})
    return asked, inputs, Materials(inputs, files)


def _module(inputs: CheckInput) -> Any:
    definition = CATALOGUE[inputs.check]
    if definition.version != inputs.version or not definition.mapped:
        raise ValueError("not mapped")
    return importlib.import_module(definition.mapped)


def _spans(sizes: tuple[int, ...], part_rows: int) -> list[dict[str, int]]:
    """Neighbouring batches put together until they have `part_rows` rows; a short rest goes to the last part."""
    found: list[dict[str, int]] = []
    first = rows = 0
    for place, size in enumerate(sizes, start=1):
        rows += size
        if rows >= part_rows:
            found.append({"first": first, "last": place, "rows": rows})
            first, rows = place, 0
    if rows and found and rows < part_rows // 2:
        found[-1]["last"] = len(sizes)
        found[-1]["rows"] += rows
    elif rows:
        found.append({"first": first, "last": len(sizes), "rows": rows})
    return found
