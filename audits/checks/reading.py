"""Reading data strictly: a file that is not a clean table is refused with the line or column to blame.

pandas alone would pad short rows with blanks, rename duplicate columns and take a first row of numbers for a header.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import BinaryIO

import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import _NUMBER, listed

SEPARATORS = (",", ";", "\t", "|")
MAX_FIELD_CHARACTERS = 1_000_000
MAX_CELLS = 400_000_000  # what a Parquet footer may promise before anything is decompressed


def read_frame(file: BinaryIO, format_: str, role: str) -> pd.DataFrame:
    """The table in `file`, columns named by text, one row per record.

    Raises CheckError naming the role and, where there is one, the line or column.
    """
    file.seek(0)
    if format_ == "csv":
        frame = _read_csv(file, role)
    elif format_ == "parquet":
        frame = _read_parquet(file, role)
    else:
        raise CheckError("data_format_unsupported", role=role, format=format_)
    if frame.empty:
        raise CheckError("data_empty", role=role)
    return frame


def _read_csv(file: BinaryIO, role: str) -> pd.DataFrame:
    content = file.read()
    if not content.strip():
        raise CheckError("data_empty", role=role)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CheckError("csv_not_utf8", role=role, line=line) from None
    if "\0" in text:
        raise CheckError("csv_not_text", role=role, line=text.count("\n", 0, text.index("\0")) + 1)
    separator = _scan(text, role)
    try:
        return pd.read_csv(
            io.StringIO(text), sep=separator, index_col=False, low_memory=False, skip_blank_lines=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise CheckError("csv_unparsed", role=role, problem=type(error).__name__) from None


def _scan(text: str, role: str) -> str:
    """Walk every record once; return the separator. Raises on the first record that breaks the table."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in SEPARATORS if mark in first), ",")
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
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(file)
        schema = source.schema_arrow
        _check_names([str(name) for name in schema.names], role)
        for column in schema:
            if pa.types.is_nested(column.type):
                raise CheckError("parquet_nested", role=role, column=column.name)
        if source.metadata.num_rows * max(len(schema.names), 1) > MAX_CELLS:
            raise CheckError("data_too_large", role=role, rows=source.metadata.num_rows, limit=MAX_CELLS)
        # ignore_metadata: the file's author decides on columns, never on a pandas index hidden in the footer
        frame = source.read(use_threads=False).to_pandas(use_threads=False, ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CheckError("parquet_unreadable", role=role, problem=type(error).__name__) from None
    return frame
