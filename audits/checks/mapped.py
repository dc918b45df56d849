"""One check over several workers: laid out, computed share by share, concluded. Entry points of the confined child.

A check that can be divided names a module in the catalogue with the data sets it reads in parts (ROLES) and four
functions; what they exchange is JSON:
    survey(inputs, materials) -> dict | None            what has to be known of all rows first; None: not in parts
    shares(inputs, materials, survey, part_rows) -> [share]    what one worker does; `rows`: how many it counts
    compute(inputs, materials, survey, share) -> dict   what is counted of a share
    conclude(inputs, materials, survey, results) -> CheckResult   from what was counted of all, in any order
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


def lay_out(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """{survey, shares}: of `part_rows` rows or a few more each. No shares where the long data have fewer than
    `map_rows` rows or give one share, or the check has its one pass."""
    asked, inputs, materials = _given(question, files)
    module = _module(inputs)
    parts = [found for role in module.ROLES if (found := materials.parts(role)) is not None]
    none: dict[str, Any] = {"survey": None, "shares": []}
    if not parts or sum(found.rows for found in parts) < int(asked["map_rows"]):
        return none
    survey = module.survey(inputs, materials)
    if survey is None:
        return none
    shares = module.shares(inputs, materials, survey, int(asked["part_rows"]))
    return {"survey": plain(survey), "shares": plain(shares)} if len(shares) > 1 else none


def compute(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """{counted} of one share."""
    asked, inputs, materials = _given(question, files)
    return {"counted": plain(_module(inputs).compute(inputs, materials, asked["survey"], asked["share"]))}


def conclude(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """The result of the check, from what was counted of all shares."""
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


# For modules whose shares are rows


def spans(materials: Materials, role: str, part_rows: int) -> list[dict[str, Any]]:
    """{role, first, last, rows}: neighbouring batches put together until they have `part_rows` rows; a short rest goes
    to the last. None where the data are read at once."""
    parts = materials.parts(role)
    return [] if parts is None else [{"role": role, **span} for span in _spans(parts.sizes, part_rows)]


def frames(materials: Materials, share: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """The batches of a span. ValueError, at their end, where they are not what was laid out."""
    parts, rows = materials.parts(share["role"]), 0
    if parts is None:
        raise ValueError("not in parts")
    for frame in parts.frames(span=range(int(share["first"]), int(share["last"]))):
        rows += len(frame)
        yield frame
    if rows != share["rows"]:
        raise ValueError("rows")


def _spans(sizes: tuple[int, ...], part_rows: int) -> list[dict[str, int]]:
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
