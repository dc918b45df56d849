"""Unpack the tar archive of an export: plain files in plain folders below one new folder, or nothing."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from governance.client.errors import Unreachable, Usage

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
MAX_DEPTH = 12
MAX_FILES = 5_000_000
MAX_ZIPPED = 16


def prepared(target: Path) -> Path:
    """`target`, absolute, if it is not there or an empty folder; Usage otherwise."""
    target = target.absolute()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise Usage(
                f"{target} is there already and not empty. Name a new folder for the export.",
                code="folder_taken",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def unpack(archive: IO[bytes], target: Path) -> int:
    """Unpack a tar to `target` (see `prepared`), which appears only once it is complete; the number of files.

    No archive member decides where it lands: names are checked segment by segment, and links and devices refused.
    A server that was taken over must not write outside the folder it was given.
    """
    return _into(target, lambda work: _unpack(archive, work))


def unzipped(archive: IO[bytes], target: Path) -> int:
    """The same for the zip of an export as CSV or JSON Lines."""
    return _into(target, lambda work: _unzip(archive, work))


def _into(target: Path, fill: Callable[[Path], int]) -> int:
    try:
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        count = fill(work)
        work.chmod(0o755)
        if target.exists():
            target.rmdir()
        os.rename(work, target)
        return count
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _broken(str(error)) from error
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unzip(archive: IO[bytes], folder: Path) -> int:
    archive.seek(0)
    with zipfile.ZipFile(archive) as members:
        infos = members.infolist()
        if len(infos) > MAX_ZIPPED:
            raise _broken("it holds too many files")
        for info in infos:
            # as it was written: `filename` ends at a NUL, and two names would become one
            if not NAME.fullmatch(info.orig_filename):
                raise _broken(f"{info.orig_filename[:200]!r} is not the name of a plain file")
            with members.open(info) as source, (folder / info.filename).open("xb") as sink:
                shutil.copyfileobj(source, sink)
    return len(infos)


def _unpack(archive: IO[bytes], folder: Path) -> int:
    count = 0
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            parts = _parts(member.name)
            if member.isdir() or not parts:
                continue
            if not member.isreg():
                raise _broken(f"{member.name[:200]!r} is not a plain file")
            count += 1
            if count > MAX_FILES:
                raise _broken("it holds too many files")
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = members.extractfile(member)
            if content is None:
                raise _broken(f"{member.name[:200]!r} cannot be read")
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
    return count


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or len(parts) > MAX_DEPTH or not all(NAME.fullmatch(part) for part in parts):
        raise _broken(f"it holds a file called {name[:200]!r}")
    return parts


def _broken(why: str) -> Unreachable:
    return Unreachable(
        f"The export that came is not one: {why}. Nothing was kept of it. Order it again.",
        code="export_broken",
    )


def _unwritable(target: Path, error: OSError) -> Usage:
    return Usage(
        f"{target} cannot be written: {error.strerror or error}. Name another folder.",
        code="folder_unwritable",
    )
