"""Make the sketch of a dataset version: the entry point of the confined child, JSON in, JSON out."""

from __future__ import annotations

from typing import Any, BinaryIO

from audits.checks.contract import CheckError, Message
from audits.checks.execute import plain
from audits.checks.parts import ParquetParts
from audits.checks.reading import read_frame
from audits.checks.semantics import sensitive_bins
from audits.checks.sketches import Table, checked, reference

ROLE = "reference"


def execute(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """{sketch} in its stored form, or {error: {code, params}} for what a person can understand. question: `materials`
    (the one file), `sensitive` as the dataset version declares it, `k`, `digits` of an edge.
    """
    try:
        return {"sketch": plain(_made(question, files[ROLE]).to_json())}
    except CheckError as error:
        return {"error": plain({"code": error.message.code, "params": error.message.params})}
    except MemoryError:
        return {"error": {"code": Message("check_out_of_memory").code, "params": {}}}


def _made(question: dict[str, Any], file: BinaryIO) -> Any:
    (material,) = question["materials"]
    parts = ParquetParts.of(file, material["format"], ROLE)
    if parts is None:
        table = Table.of(read_frame(file, material["format"], ROLE, material["dialect"]))
    else:
        table = Table(parts.columns, parts.frames)
    limits = {"k": int(question["k"]), "digits": int(question["digits"])}
    return checked(reference(table, sensitive_bins(question["sensitive"]), **limits, every=False, role=ROLE))
