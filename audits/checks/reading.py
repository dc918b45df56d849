"""Reading data strictly: a file that is not a clean table is refused with the line or column to blame.

pandas alone would pad short rows with blanks, rename duplicate columns and take a first row of numbers for a header.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.formats import DECIMALS, ENCODINGS
from audits.checks.labels import _NUMBER, listed
from audits.checks.mlflow_folder import member, unpacked

SEPARATORS = (",", ";", "\t", "|")
MAX_FIELD_CHARACTERS = 1_000_000
MAX_CELLS = 400_000_000  # what a Parquet footer may promise before anything is decompressed
MAX_BYTES = 8 << 30  # what its row groups may promise, unpacked
_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?", re.ASCII)
_POINT_NUMBER = re.compile(r"[+-]?\d+\.\d+([eE][+-]?\d+)?", re.ASCII)


def read_frame(
    file: BinaryIO, format_: str, role: str, dialect: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The table in `file`, columns named by text, one row per record. `dialect`: separator, decimal, encoding of a CSV.

    Raises CheckError naming the role and, where there is one, the line or column.
    """
    file.seek(0)
    if format_ == "sketch":  # which only audits.checks.drift can do with
        raise CheckError("only_sketched", role=role)
    if format_ == "csv":
        frame = _read_csv(file, role, dialect or {})
    elif format_ == "parquet":
        frame = _read_parquet(file, role)
    elif format_ == "parquet-folder":
        frame = _read_parquet_folder(file, role)
    else:
        raise CheckError("data_format_unsupported", role=role, format=format_)
    if frame.empty:
        raise CheckError("data_empty", role=role)
    return frame


def _read_csv(file: BinaryIO, role: str, dialect: Mapping[str, str]) -> pd.DataFrame:
    content = file.read()
    if not content.strip():
        raise CheckError("data_empty", role=role)
    text = _decoded(content, role, dialect.get("encoding", "utf-8"))
    if not text.strip():  # nothing but a byte order mark
        raise CheckError("data_empty", role=role)
    if "\0" in text:
        raise CheckError("csv_not_text", role=role, line=text.count("\n", 0, text.index("\0")) + 1)
    given, decimal = dialect.get("separator"), dialect.get("decimal", ".")
    if given is not None and (len(given) != 1 or given in '"\r\n'):
        raise CheckError("csv_dialect_unknown", role=role, field="separator", value=given[:10])
    if decimal not in DECIMALS or decimal == given:
        raise CheckError("csv_dialect_unknown", role=role, field="decimal", value=decimal[:10])
    separator = _scan(text, role, given, decimal)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            index_col=False,
            low_memory=False,
            skip_blank_lines=True,
            dtype=str if decimal == "," else None,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise CheckError("csv_unparsed", role=role, problem=type(error).__name__) from None
    return frame if decimal == "." else _with_comma(frame, role)


def _decoded(content: bytes, role: str, encoding: str) -> str:
    codec = ENCODINGS.get(encoding)
    if codec is None:
        raise CheckError("csv_dialect_unknown", role=role, field="encoding", value=encoding[:20])
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            line = content.count(b"\n", 0, error.start) + 1
            raise CheckError("csv_not_utf8", role=role, line=line) from None
        raise CheckError("csv_not_encoded", role=role, encoding=encoding, position=error.start) from None


def _with_comma(frame: pd.DataFrame, role: str) -> pd.DataFrame:
    """Text columns with nothing but numbers written 1.234,5 become numbers; pandas' `decimal` takes 1.5 for 15.

    Raises CheckError `csv_decimal_mixed` for a column of numbers of which some have a decimal point.
    """
    for name in frame.columns:
        column = frame[name]
        known: dict[str, float] = {}
        wrong = False
        for cell in column.dropna().unique():
            text = cell.strip()
            if _COMMA_NUMBER.fullmatch(text):
                known[cell] = float(text.replace(".", "").replace(",", "."))
            elif _POINT_NUMBER.fullmatch(text):
                wrong = True
            else:
                break
        else:
            if wrong:
                raise CheckError("csv_decimal_mixed", role=role, column=str(name))
            if known:
                values = column.map(known).astype("float64")
                whole = not bool(values.isna().any()) and not any("," in cell for cell in known)
                frame[name] = (
                    values.astype("int64") if whole and bool((values.abs() < 2**53).all()) else values
                )
    return frame


def _scan(text: str, role: str, given: str | None, decimal: str) -> str:
    """Walk every record once; return the separator. Raises on the first record that breaks the table."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    first = next((line for line in text.splitlines() if line.strip()), "")
    known = [mark for mark in SEPARATORS if mark != decimal]
    # the mark that stands most often in the header: a name may hold one of the others
    separator = given or max(known, key=lambda mark: (first.count(mark), -known.index(mark)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    try:
        for record in reader:
            if not record or (len(record) == 1 and not record[0].strip()):
                continue  # a blank line, which pandas skips as well
            if header is None:
                header = record
                _check_header(header, role)
            elif len(record) != len(header):
                raise CheckError(
                    "csv_ragged", role=role, line=reader.line_num, expected=len(header), found=len(record)
                )
    except csv.Error as error:
        raise CheckError("csv_malformed", role=role, line=reader.line_num, problem=str(error)[:80]) from None
    return separator


def _check_header(header: list[str], role: str) -> None:
    if all(_NUMBER.fullmatch(name.strip()) for name in header):
        raise CheckError("csv_no_header", role=role)
    _check_names([name.strip() for name in header], role)
    for position, name in enumerate(header, start=1):
        if name != name.strip():
            raise CheckError("column_name_padded", role=role, column=name.strip(), position=position)


def _check_names(names: list[str], role: str) -> None:
    for position, name in enumerate(names, start=1):
        if not name:
            raise CheckError("column_name_blank", role=role, position=position)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise CheckError("column_duplicated", role=role, columns=listed(twice))


def _read_parquet(file: BinaryIO, role: str) -> pd.DataFrame:
    import pyarrow as pa

    try:
        # ignore_metadata: the file's author decides on columns, never on a pandas index hidden in the footer
        source = opened_parquet(file, role)
        frame = source.read(use_threads=False).to_pandas(use_threads=False, ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CheckError("parquet_unreadable", role=role, problem=type(error).__name__) from None
    if (
        len(frame) != source.metadata.num_rows
    ):  # pages are missing: what is left is not the data that was registered
        raise CheckError("parquet_unreadable", role=role, problem="RowsMissing")
    return frame


def opened_parquet(file: BinaryIO, role: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Reading ahead would hold every row group until the last one is read: a long file as a whole.
    source = pq.ParquetFile(file, pre_buffer=False)
    schema = source.schema_arrow
    _check_names([str(name) for name in schema.names], role)
    for column in schema:
        if pa.types.is_nested(column.type):
            raise CheckError("parquet_nested", role=role, column=column.name)
    _check_size(source.metadata, len(schema.names), role)
    return source


def _check_size(metadata: Any, columns: int, role: str) -> None:
    """What the footer announces, before a page is inflated: a few bytes may stand for gigabytes."""
    if metadata.num_rows * max(columns, 1) > MAX_CELLS:
        raise CheckError("data_too_large", role=role, rows=metadata.num_rows, limit=MAX_CELLS)
    announced = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    if announced > MAX_BYTES:
        raise CheckError("data_too_large", role=role, rows=metadata.num_rows, limit=MAX_CELLS)


def _read_parquet_folder(file: BinaryIO, role: str) -> pd.DataFrame:
    """A folder of Parquet files packed as a zip: parts in the order of their paths, `key=value` folders as columns."""
    archive = unpacked(file, role)
    frames: list[pd.DataFrame] = []
    cells = 0
    for name in parquet_members(archive, role):
        frame = _read_parquet(io.BytesIO(member(archive, name, role)), role)
        for key, value in folder_columns(name).items():
            if key not in frame.columns:
                frame[key] = value
        if frames and list(frame.columns) != list(frames[0].columns):
            raise CheckError("parquet_parts_differ", role=role, part=name[-100:])
        cells += frame.size
        if cells > MAX_CELLS:
            raise CheckError("data_too_large", role=role, rows=cells, limit=MAX_CELLS)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def parquet_members(archive: zipfile.ZipFile, role: str) -> list[str]:
    """The Parquet files of a folder, in the order of their paths. Raises CheckError `archive_member_missing`."""
    names = sorted(
        name
        for name in archive.namelist()
        if name.endswith(".parquet") and not PurePosixPath(name).name.startswith(("_", "."))
    )
    if not names:
        raise CheckError("archive_member_missing", role=role, name="*.parquet")
    return names


def folder_columns(name: str) -> dict[str, str]:
    """What the `key=value` folders on the way to a file say of all its rows."""
    parts = (part.partition("=") for part in PurePosixPath(name).parts[:-1])
    found: dict[str, str] = {}
    for key, sign, value in parts:
        if sign:
            found.setdefault(key, value)
    return found
