"""A folder as one file, so that it has a digest: the zip the server makes of it (audits/folders.py), byte for byte."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from governance.client.errors import Usage
from governance.client.multipart import CHUNK, digest_of_file, unreadable

EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_folder(folder: Path, target: Path | None = None) -> str:
    """sha256:… of the zip of a folder; the zip itself into `target`, which must not be there yet nor be in the folder.

    Names sorted by code point, no compression, no times, no attributes. Usage for a folder without files.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if not names:
        raise Usage(f"There is no file in {folder}.", code="fetch_folder_empty")
    if target is not None and target.resolve().is_relative_to(folder.resolve()):
        raise Usage(f"{target} lies in the folder itself. Name a file elsewhere.")
    with ExitStack() as stack:
        try:
            file = (
                stack.enter_context(tempfile.NamedTemporaryFile(prefix="crivo-"))
                if target is None
                else stack.enter_context(target.open("xb"))
            )
        except FileExistsError as error:
            raise Usage(f"{target} is there already.", code="file_exists") from error
        except OSError as error:
            raise unreadable(target or folder, error) from error
        _pack(folder, names, cast(IO[bytes], file))
        file.flush()
        return digest_of_file(Path(file.name))


def _pack(folder: Path, names: list[str], sink: IO[bytes]) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            path = folder / name
            try:
                with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as to:
                    while chunk := source.read(CHUNK):
                        to.write(chunk)
            except OSError as error:
                raise unreadable(path, error) from error
