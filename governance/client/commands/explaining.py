"""crivo explain: why a version decided as it did about one record."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, PENDING, REFUSED, Context, object_of, version_of
from governance.client.console import plain


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    explain = commands.add_parser(
        "explain", parents=[common], help="explain what a version decides about one record"
    )
    explain.add_argument("name", metavar="NAME")
    explain.add_argument("version", nargs="?", metavar="VERSION", help="number or alias; or NAME@VERSION")
    explain.add_argument("--record", required=True, metavar="FILE", help="JSON: {column: value}")
    explain.add_argument("--lime", action="store_true", help="a linear second opinion beside it")
    explain.add_argument("--wait", type=float, default=120.0, metavar="SECONDS", help="default 120")
    explain.set_defaults(command=explain_record)


def explain_record(context: Context) -> int:
    options, console = context.options, context.console
    crivo = context.server()
    name, n = version_of(crivo, options.name, options.version)
    asked = crivo.explain(name, n, object_of(options.record), lime=options.lime)
    found = crivo.wait_for_explanation(asked.id, seconds=options.wait)
    console.document(found.raw)
    if not found.finished:
        console.say(f"explanation {found.id} is {plain(found.state)}; ask again later")
        return PENDING
    if found.error is not None:
        console.say(f"{plain(found.version)} could not be explained: {plain(found.error.text)}")
        return REFUSED
    console.say(f"{plain(found.version)} decides {plain(str(found.prediction))}")
    console.fields(
        [
            ("explanation", found.id),
            ("average output", f"{found.base_value:.6g}" if found.base_value is not None else "-"),
            (
                "this record",
                f"{found.output:.6g} ({plain(found.output_space or '')})"
                if found.output is not None
                else "-",
            ),
        ]
    )
    for feature, phi in found.contributions:
        console.say(f"  {phi:+.6g}  {plain(feature)}")
    if found.weights:
        console.say("second opinion (LIME):")
        for feature, weight in found.weights:
            console.say(f"  {weight:+.6g}  {plain(feature)}")
    console.reasons([plain(note.text) for note in found.notes])
    return OK
