"""Data too long to be held at once, in batches: memory does not grow with their number.

Where a batch begins depends on the file alone, never on who reads it: one pass over all batches and several workers
with a share of them each see the very same tables, hence compute the very same numbers.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pandas as pd

from audits.checks import reading
from audits.checks.contract import CheckError
from audits.checks.mlflow_folder import member, unpacked

PART_ROWS = 1 << 18
LOCAL_HEADER = 30  # bytes before the name of a member of a zip


@dataclass(frozen=True)
class _File:
    """`added`: columns that the names of its folders stand for."""

    opened: Callable[[], Any]
    rows: int
    added: dict[str, str] = field(default_factory=dict)


class ParquetParts:
    """A long Parquet file, or a folder of them, in batches of at most PART_ROWS rows, whatever the row groups are.

    `of` gives None for what is read at once: short data, files whose columns differ, and categories (Arrow
    dictionaries), which differ from part to part. A batch never reaches over two files. `sizes`: rows of each batch.
    """

    def __init__(self, files: list[_File], columns: tuple[str, ...], role: str) -> None:
        self.files, self.columns, self.role = files, columns, role
        self.sizes: tuple[int, ...] = tuple(
            min(PART_ROWS, file.rows - start) for file in files for start in range(0, file.rows, PART_ROWS)
        )

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    @classmethod
    def of(cls, file: BinaryIO, format_: str | None, role: str) -> ParquetParts | None:
        """Raises CheckError as `read_frame` does."""
        file.seek(0)
        if format_ == "parquet":
            return cls._of_file(file, role)
        return cls._of_folder(file, role) if format_ == "parquet-folder" else None

    @classmethod
    def _of_file(cls, file: BinaryIO, role: str) -> ParquetParts | None:
        source = _open(file, role)
        if source.metadata.num_rows <= PART_ROWS or _has_categories(source.schema_arrow):
            return None
        columns = tuple(source.schema_arrow.names)
        return cls([_File(lambda: source, source.metadata.num_rows)], columns, role)

    @classmethod
    def _of_folder(cls, file: BinaryIO, role: str) -> ParquetParts | None:
        archive = unpacked(file, role)
        files: list[_File] = []
        first: tuple[Any, tuple[str, ...]] | None = None
        cells = 0
        for name in reading.parquet_members(archive, role):
            opened = _member(file, archive, name, role)
            source = opened()
            schema = source.schema_arrow.remove_metadata()
            added = {
                key: value for key, value in reading.folder_columns(name).items() if key not in schema.names
            }
            if _has_categories(schema) or (first is not None and first != (schema, tuple(added))):
                return None
            first = (schema, tuple(added))
            cells += source.metadata.num_rows * (len(schema.names) + len(added))
            if cells > reading.MAX_CELLS:
                raise CheckError("data_too_large", role=role, rows=cells, limit=reading.MAX_CELLS)
            files.append(_File(opened, source.metadata.num_rows, added))
        if first is None or sum(found.rows for found in files) <= PART_ROWS:
            return None
        return cls(files, (*first[0].names, *first[1]), role)

    def gaps(self) -> frozenset[str]:
        """Columns of whole numbers or truth values with an empty cell: read at once, pandas gives them another type."""
        import pyarrow as pa

        found: set[str] = set()
        try:
            for file in self.files:
                source = file.opened()
                names = [
                    field.name
                    for field in source.schema_arrow
                    if field.name not in found
                    and (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type))
                ]
                for batch in _batches(source, range(source.metadata.num_row_groups) if names else (), names):
                    found |= {name for name in names if batch.column(name).null_count}
        except (pa.ArrowException, OSError) as error:
            raise CheckError("parquet_unreadable", role=self.role, problem=type(error).__name__) from None
        return frozenset(found)

    def frames(
        self, columns: Iterable[str] | None = None, span: range | None = None
    ) -> Iterator[pd.DataFrame]:
        """The batches in order, with all columns or these; `span`: only those with these places."""
        import pyarrow as pa

        chosen = self.columns if columns is None else tuple(columns)
        wanted = range(len(self.sizes)) if span is None else span
        place = 0
        try:
            for file in self.files:
                batches = -(-file.rows // PART_ROWS)
                first, last = max(wanted.start - place, 0), min(wanted.stop - place, batches)
                place += batches
                if first < last:
                    yield from _frames(file, chosen, first, last)
        except (pa.ArrowException, OSError) as error:
            raise CheckError("parquet_unreadable", role=self.role, problem=type(error).__name__) from None


def _member(file: BinaryIO, archive: zipfile.ZipFile, name: str, role: str) -> Callable[[], Any]:
    """Opens one file of the folder. Parquet is packed already, so zips mostly store it as it is: then it is read where
    it lies, a batch at a time; else the file as a whole is unpacked into memory."""

    def opened() -> Any:
        where = _stored_at(file, archive.getinfo(name))
        if where is None:
            return _open(io.BytesIO(member(archive, name, role)), role)
        return _open(io.BufferedReader(_Stored(file, *where)), role)

    return opened


def _stored_at(file: BinaryIO, info: zipfile.ZipInfo) -> tuple[int, int] | None:
    """(start, length) of a member that is stored as it is; None for any other."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
        return None
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
        return None
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + LOCAL_HEADER + name + extra, info.file_size


class _Stored(io.RawIOBase):
    """A stretch of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size, self.place = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self.size - self.place))
        self.file.seek(self.start + self.place)  # others read other stretches of it
        content = self.file.read(wanted)
        buffer[: len(content)] = content
        self.place += len(content)
        return len(content)


def _open(file: BinaryIO, role: str) -> Any:
    import pyarrow as pa

    try:
        return reading.opened_parquet(file, role)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CheckError("parquet_unreadable", role=role, problem=type(error).__name__) from None


def _has_categories(schema: Any) -> bool:
    import pyarrow as pa

    return any(pa.types.is_dictionary(column.type) for column in schema)


def _frames(file: _File, columns: tuple[str, ...], first: int, last: int) -> Iterator[pd.DataFrame]:
    """The batches `first` to `last` (without it) of one file."""
    start, stop = first * PART_ROWS, min(last * PART_ROWS, file.rows)
    stored = [name for name in columns if name not in file.added]
    frames: Iterator[pd.DataFrame]
    if stored:
        tables = _tables(file.opened(), stored, start, stop)
        frames = (table.to_pandas(use_threads=False, ignore_metadata=True) for table in tables)
    else:
        sizes = (min(PART_ROWS, stop - place) for place in range(start, stop, PART_ROWS))
        frames = (pd.DataFrame(index=range(size)) for size in sizes)
    for frame in frames:
        for name in columns:
            if name in file.added:
                frame[name] = file.added[name]
        yield frame


def _tables(source: Any, columns: list[str], start: int, stop: int) -> Iterator[Any]:
    """The rows `start` to `stop` in tables of PART_ROWS, the last one shorter; no more than one is held."""
    import pyarrow as pa

    groups, skip = _groups(source.metadata, start, stop)
    held: list[Any] = []
    missing = PART_ROWS
    for batch in _batches(source, groups, columns):
        ahead = min(skip, batch.num_rows)
        skip, rest = skip - ahead, batch.slice(ahead)
        while rest.num_rows and start < stop:
            held.append(rest.slice(0, min(missing, stop - start)))
            taken = held[-1].num_rows
            rest, missing, start = rest.slice(taken), missing - taken, start + taken
            if not missing or start == stop:
                yield pa.Table.from_batches(held)
                held, missing = [], PART_ROWS
        if start >= stop:
            return
    if start < stop:
        raise RowsMissing


class RowsMissing(OSError):  # noqa: N818 - its name is told
    """The file holds fewer rows than its footer promises."""


def _batches(source: Any, groups: Iterable[int], columns: list[str]) -> Iterator[Any]:
    """A row group at a time: a reader over several keeps the packed bytes of all that it has read."""
    for group in groups:
        yield from source.iter_batches(PART_ROWS, row_groups=[group], columns=columns, use_threads=False)


def _groups(metadata: Any, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold the rows `start` to `stop`, and how many rows of the first lie before."""
    found: list[int] = []
    place = skip = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if place < stop and place + rows > start:
            if not found:
                skip = start - place
            found.append(group)
        place += rows
    return found, skip
