"""Look into a CSV while it streams by, with the standard library: the web process never imports numpy or pandas.

Refuses what no check could read later (empty, ragged, nameless or duplicate columns), with line and column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from audits.checks.formats import DATA_FORMATS, DECIMALS, ENCODINGS
from audits.errors import BadRequest, Unprocessable

FIELD_LIMIT = 1 << 20  # characters in one cell
MAX_COLUMNS = 10_000
NAME_LIMIT = 1_000  # characters in the name of a column
FORMATS = DATA_FORMATS


@dataclass(frozen=True)
class Profile:
    rows: int | None
    columns: list[dict[str, str]]


class _Kind:
    """The narrowest type every value of a column has had so far: integer ⊂ number ⊂ text; empty cells say nothing."""

    ORDER = ("empty", "integer", "number", "text")

    def __init__(self, decimal: str = ".") -> None:
        self.rank = 0
        self.decimal = decimal

    def see(self, cell: str) -> None:
        if self.rank == 3 or not (cell := cell.strip()):
            return
        if self.rank <= 1 and (cell.isdigit() or (cell[0] in "+-" and cell[1:].isdigit())):
            self.rank = 1
            return
        try:
            float(cell if self.decimal == "." else cell.replace(".", "").replace(",", "."))
        except ValueError:
            self.rank = 3
        else:
            self.rank = 2

    @property
    def name(self) -> str:
        return self.ORDER[self.rank]


def look(stream: BinaryIO, format_: str, dialect: Mapping[str, str] | None = None) -> Profile | Unprocessable:
    """What a dataset file holds, or the refusal, as a value: it is looked at before the service's transaction begins,
    and refused inside, where the refusal becomes part of the trail."""
    try:
        return profile(stream, format_, dialect)
    except Unprocessable as refusal:
        return refusal


def checked_dialect(given: Any) -> dict[str, str]:
    """A CSV's declared {separator, decimal, encoding}; Unprocessable names the part that is not understood."""
    known = {"separator", "decimal", "encoding"}
    if not isinstance(given, dict) or not set(given) <= known:
        raise Unprocessable("dialect_unknown", field="metadata.dialect", known=sorted(known))
    separator, decimal = given.get("separator", ","), given.get("decimal", ".")
    if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n\x00':
        raise Unprocessable(
            "dialect_unknown", field="metadata.dialect.separator", known=[",", ";", "tab", "|"]
        )
    if decimal not in DECIMALS or decimal == given.get("separator"):
        raise Unprocessable("dialect_unknown", field="metadata.dialect.decimal", known=list(DECIMALS))
    if given.get("encoding", "utf-8") not in ENCODINGS:
        raise Unprocessable("dialect_unknown", field="metadata.dialect.encoding", known=list(ENCODINGS))
    return dict(given)


def declared_columns(given: Any) -> list[dict[str, str]]:
    """The columns of data that is not looked at: names, or {name, type}. BadRequest for anything else."""
    rows = (
        [{"name": row} if isinstance(row, str) else row for row in given] if isinstance(given, list) else []
    )
    well_formed = (bool(rows) or given == []) and all(
        isinstance(row, dict)
        and set(row) <= {"name", "type"}
        and isinstance(name := row.get("name"), str)
        and 0 < len(name.strip()) == len(name) <= NAME_LIMIT
        and row.get("type", "text") in _Kind.ORDER
        for row in rows
    )
    names = [row["name"] for row in rows] if well_formed else []
    if not well_formed or len(names) > MAX_COLUMNS or len(set(names)) != len(names):
        reason = f"columns is a list of at most {MAX_COLUMNS} different names, or of {{name, type}}"
        raise BadRequest("invalid", field="metadata.columns", reason=reason)
    return [{"name": row["name"], "type": row.get("type", "")} for row in rows]


def profile(stream: BinaryIO, format_: str, dialect: Mapping[str, str] | None = None) -> Profile:
    """Rows and columns of a dataset file; Unprocessable names the line and the column that is wrong."""
    if format_ == "csv":
        return _profile_csv(stream, dialect or {})
    if format_ == "parquet":
        if stream.read(4) != b"PAR1":
            raise Unprocessable("parquet_expected", field="file")
        return Profile(None, [])  # read by the worker: pyarrow does not belong in the web process
    if format_ == "parquet-folder":
        if stream.read(4) != b"PK\x03\x04":
            raise Unprocessable("parquet_folder_expected", field="file")
        return Profile(None, [])
    raise Unprocessable("dataset_format_unknown", field="format", format=format_, known=list(FORMATS))


def _profile_csv(stream: BinaryIO, dialect: Mapping[str, str]) -> Profile:
    csv.field_size_limit(FIELD_LIMIT)
    codec = ENCODINGS[dialect.get("encoding", "utf-8")]
    text = io.TextIOWrapper(stream, encoding=codec, newline="")
    decimal = dialect.get("decimal", ".")
    try:
        separator = dialect.get("separator") or _separator(text, decimal)
        return _read(csv.reader(text, strict=True, delimiter=separator), decimal)
    except UnicodeDecodeError as error:
        raise Unprocessable("upload_csv_not_text", field="file", position=error.start) from error
    except csv.Error as error:
        raise Unprocessable("upload_csv_unreadable", field="file", reason=str(error)) from error
    finally:
        text.detach()


def _separator(text: io.TextIOWrapper, decimal: str) -> str:
    """The mark that stands most often in the first line, as the checks have it."""
    first = next((line for line in text if line.strip()), "")
    text.seek(0)
    known = [mark for mark in (",", ";", "\t", "|") if mark != decimal]
    return max(known, key=lambda mark: (first.count(mark), -known.index(mark)))


def _read(reader: Iterator[list[str]], decimal: str = ".") -> Profile:
    header = next((row for row in reader if row), None)
    if header is None:
        raise Unprocessable("upload_csv_empty", field="file")
    names = [name.strip() for name in header]
    if len(names) > MAX_COLUMNS:
        raise Unprocessable(
            "upload_csv_too_many_columns", field="file", columns=len(names), limit=MAX_COLUMNS
        )
    for position, name in enumerate(names, start=1):
        if not name:
            raise Unprocessable("upload_csv_column_without_name", field="file", position=position)
        if len(name) > NAME_LIMIT or "\x00" in name:
            reason = f"the name of column {position} is longer than {NAME_LIMIT} characters or holds a NUL"
            raise Unprocessable("upload_csv_unreadable", field="file", reason=reason)
        if names.index(name) != position - 1:
            raise Unprocessable("upload_csv_duplicate_column", field="file", column=name)
    kinds = [_Kind(decimal) for _ in names]
    rows = 0
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            line = getattr(reader, "line_num", rows + 2)
            raise Unprocessable(
                "upload_csv_row_length", field="file", line=line, found=len(row), expected=len(names)
            )
        for kind, cell in zip(kinds, row, strict=True):
            kind.see(cell)
        rows += 1
    if rows == 0:
        raise Unprocessable("upload_csv_no_rows", field="file")
    return Profile(rows, [{"name": name, "type": kind.name} for name, kind in zip(names, kinds, strict=True)])
