"""crivo check reproduce: whether a finished check gives the same when it is computed again."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, PENDING, REFUSED, Context
from governance.client.console import plain

SHOWN = 20


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    check = commands.add_parser("check", help="check runs: reproduce")
    actions = check.add_subparsers(dest="action", metavar="ACTION", required=True)
    again = actions.add_parser(
        "reproduce", parents=[common], help="compute a finished check again and say whether it matches"
    )
    again.add_argument("run", metavar="RUN", help="id of the check run")
    again.add_argument("--wait", type=float, default=600.0, metavar="SECONDS", help="default 600")
    again.set_defaults(command=reproduce)


def reproduce(context: Context) -> int:
    """0: it matches; 1: it does not, or there is no second result; 4: not finished in time."""
    options, console = context.options, context.console
    crivo = context.server()
    asked = crivo.reproduce(options.run)
    found = crivo.wait_for_reproduction(asked.id, seconds=options.wait)
    console.document(found.raw)
    if not found.finished:
        console.say(f"reproduction {found.id} is {plain(found.state)}; ask again later")
        return PENDING
    name = f"{plain(found.check)} (run {found.run})"
    if found.error is not None:
        console.say(f"{name} gave no second result: {plain(found.error.text)}")
        return REFUSED
    said = {
        "identical": "matches byte for byte",
        "within_tolerance": f"matches within the declared tolerance of {found.tolerance:g}; its bytes differ",
    }.get(found.outcome, f"does not match: {found.difference_count} cells differ")
    console.say(f"{name} {said}")
    console.fields(
        [
            ("reproduction", found.id),
            ("recorded", plain(found.recorded_digest)),
            ("computed", plain(found.computed_digest)),
        ]
    )
    for where, recorded, computed in found.differences[:SHOWN]:
        console.say(f"  {plain(where)}: {plain(str(recorded))} → {plain(str(computed))}")
    if found.difference_count > SHOWN:
        console.say(f"  … and {found.difference_count - SHOWN} more (--json lists up to 100)")
    return OK if found.matches else REFUSED
