"""crivo dataset sketch …: keep what drift is measured against when the data themselves are gone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from governance.client.commands.common import OK, PENDING, REFUSED, Context
from governance.client.commands.listing import numbered
from governance.client.console import plain
from governance.client.errors import Usage


def declare(actions: Any, common: argparse.ArgumentParser) -> None:
    sketch = actions.add_parser(
        "sketch",
        parents=[common],
        help="keep the reference sketch of a dataset version, for drift without the data",
    )
    sketch.add_argument("version", metavar="NAME@VERSION")
    sketch.add_argument("--wait", type=float, default=600.0, metavar="SECONDS", help="default 600")
    sketch.add_argument("--output", metavar="FILE", help="where to write the sketch itself (JSON)")
    sketch.set_defaults(command=make_sketch)


def make_sketch(context: Context) -> int:
    """0: it is kept; 1: it could not be made; 4: not finished in time."""
    options, console, crivo = context.options, context.console, context.server()
    name, n = numbered(options.version)
    asked = crivo.request_sketch(name, n)
    found = asked if asked.finished else crivo.wait_for_sketch(name, n, seconds=options.wait)
    console.document(found.raw)
    version = plain(found.version)
    if not found.finished:
        console.say(f"{version}: the sketch is {plain(found.state)}; ask again later")
        return PENDING
    if found.error is not None:
        console.say(f"{version}: no sketch could be made. {plain(found.error.text)}")
        return REFUSED
    console.say(
        f"{version}: the reference sketch is kept" + ("" if asked.created else " (was there already)")
    )
    console.fields(
        [
            ("digest", plain(found.digest)),
            ("rows", f"{found.rows:,}"),
            ("columns", str(len(found.columns))),
            ("smallest cell", f"{found.k} rows"),
            *((plain(attribute), plain(", ".join(names))) for attribute, names in found.attributes.items()),
        ]
    )
    if options.output is not None:
        try:
            Path(options.output).write_bytes(crivo.sketch_content(name, n))
        except OSError as error:
            raise Usage(f"{options.output} cannot be written: {error.strerror}", code="unwritable") from error
    return OK
