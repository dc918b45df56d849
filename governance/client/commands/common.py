"""What commands share: how one is declared, and reading files people name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.client.api import Crivo
from governance.client.console import Console
from governance.client.errors import Usage
from governance.client.multipart import unreadable

OK, REFUSED, PENDING = 0, 1, 4
MAX_TEXT = 16 << 20


@dataclass(frozen=True)
class Context:
    """`server` is connected to when first called: `crivo verify` needs none."""

    server: Callable[[], Crivo]
    console: Console
    options: argparse.Namespace


Command = Callable[[Context], int]


def text_of(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(Path(path), error) from error
    if len(data) > MAX_TEXT:
        raise Usage(f"{path} is longer than {MAX_TEXT >> 20} MiB.", code="file_too_large")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 text (byte {error.start}).", code="not_utf8") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def object_of(path: str) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        found = json.loads(text_of(path), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Usage(f"{path} is not JSON: {error}", code="not_json") from error
    if not isinstance(found, dict):
        raise Usage(f"{path} holds JSON, but no object {{…}}.", code="not_json")
    return found


def version_of(crivo: Crivo, name: str, version: str | None) -> tuple[str, int]:
    """(name, number) of what a person wrote: NAME 3, NAME champion, NAME@3 or NAME@champion. Aliases are looked up."""
    if version is None:
        name, separator, version = name.rpartition("@")
        if not separator:
            raise Usage("Name a version: NAME VERSION or NAME@VERSION, by number or by alias.")
    if version.isascii() and version.isdecimal():
        return name, int(version)
    return name, crivo.alias(name, version).n


def asked_before(created: bool) -> str:
    return "registered" if created else "was there already"
