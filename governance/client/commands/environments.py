"""`crivo lock` keeps the lock file of a version's environment; `crivo sbom` tells it as a bill of materials."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from governance.client.commands.common import OK, Context, version_of
from governance.client.console import plain
from governance.client.errors import Usage


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    lock = commands.add_parser("lock", parents=[common], help="keep the lock file of a version's environment")
    lock.add_argument("version", metavar="NAME@VERSION")
    lock.add_argument("file", help="the one whose digest the version declares as environment_digest")
    lock.set_defaults(command=keep_lock)
    sbom = commands.add_parser(
        "sbom", parents=[common], help="the environment of a version as a bill of materials (CycloneDX)"
    )
    sbom.add_argument("version", metavar="NAME@VERSION")
    sbom.add_argument("--output", metavar="FILE", help="where to write it; default: list the packages")
    sbom.set_defaults(command=bill_of_materials)


def keep_lock(context: Context) -> int:
    options, console, crivo = context.options, context.console, context.server()
    name, n = version_of(crivo, options.version, None)
    found = crivo.keep_lock(name, n, options.file, progress=console.progress(Path(options.file).name))
    console.document(found.raw)
    console.say(
        f"{plain(found.version)}: the environment lock is kept, {len(found.packages)} packages"
        + ("" if found.created else " (was there already)")
    )
    if found.open:
        console.note(f"The lock does not say which version of {found.open} of them.")
    return OK


def bill_of_materials(context: Context) -> int:
    options, console, crivo = context.options, context.console, context.server()
    name, n = version_of(crivo, options.version, None)
    if options.output is None and not console.as_json:
        found = crivo.environment(name, n)
        console.table(
            ("package", "version", "from", "sha256"),
            [
                (item["name"], item["version"] or "?", item["ecosystem"], ", ".join(item["sha256"][:1]))
                for item in found.packages
            ],
        )
        return OK
    content = crivo.sbom(name, n)
    if options.output is not None:
        try:
            Path(options.output).write_bytes(content)
        except OSError as error:
            raise Usage(f"{options.output} cannot be written: {error.strerror}", code="unwritable") from error
        console.say(f"{plain(options.output)}: CycloneDX of {plain(name)}@{n}")
    console.document(json.loads(content))
    return OK
