"""Group disparity over several workers: what occurs in the sensitive columns, then counts, then the figures."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd

from audits.checks import mapped
from audits.checks.bias import columns_of, concluded
from audits.checks.contract import CheckInput, CheckResult
from audits.checks.counting import ROLE, Distinct, Tally, distinct_values
from audits.checks.materials import Materials

ROLES = (ROLE,)


def survey(inputs: CheckInput, materials: Materials) -> dict[str, Any] | None:
    """The groups, and the values to try in the flips in the types the model knows; None for a regression, and where a
    type would not come back as it is."""
    if materials.semantics.task == "regression":
        return None
    found = distinct_values(materials, columns_of(inputs, materials))
    tried = {name: _packed(values) for name, values in found.tried.items()}
    for name, values in found.tried.items():
        again = _unpacked(tried[name])
        if again.dtype != values.dtype or [*map(_kept, again)] != [*map(_kept, values)]:
            return None
    return {"levels": {name: list(levels) for name, levels in found.levels.items()}, "tried": tried}


def shares(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], part_rows: int
) -> list[dict[str, Any]]:
    return mapped.spans(materials, ROLE, part_rows)


def compute(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], share: dict[str, Any]
) -> dict[str, Any]:
    tally = _tally(inputs, materials, survey)
    for frame in mapped.frames(materials, share):
        tally.add(frame)
    return tally.to_json()


def conclude(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], results: list[dict[str, Any]]
) -> CheckResult:
    tally = _tally(inputs, materials, survey)
    for found in results:
        tally.merge(found)
    return concluded(inputs, materials, tally.columns, tally.counted())


def _tally(inputs: CheckInput, materials: Materials, survey: dict[str, Any]) -> Tally:
    distinct = Distinct(
        {name: tuple(levels) for name, levels in survey["levels"].items()},
        {name: _unpacked(packed) for name, packed in survey["tried"].items()},
    )
    return Tally(materials, columns_of(inputs, materials), distinct)


def _kept(value: Any) -> tuple[type, str]:
    return type(value), repr(value)


def _packed(values: pd.Series) -> str:
    """A column as Arrow's own bytes: JSON has no dates, and no integers apart from floats."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    table = pa.table({"values": pa.Array.from_pandas(values)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def _unpacked(packed: str) -> pd.Series:
    import pyarrow as pa

    with pa.ipc.open_stream(base64.b64decode(packed)) as reader:
        table = reader.read_all()
    return table.to_pandas(use_threads=False, ignore_metadata=True)["values"]
