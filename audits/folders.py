"""A folder as one file: a zip that is the same for the same files, whoever makes it, so that a folder has a digest.

Names sorted by code point, no compression, no times, no attributes. The client packs by the same rules.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from typing import IO

EPOCH = (1980, 1, 1, 0, 0, 0)
CHUNK = 1 << 20


def pack(files: Iterable[tuple[str, IO[bytes]]], sink: IO[bytes]) -> None:
    """Write `files` (path with forward slashes, open file), already sorted by path, as a zip into `sink`."""
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path, source in files:
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
