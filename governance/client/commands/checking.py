"""crivo check …: how far a check is, end it, and whether a finished one gives the same when it is computed again."""

from __future__ import annotations

import argparse
import time
from typing import Any

from governance.client.check_runs import CheckRun
from governance.client.commands.common import OK, PENDING, REFUSED, Context
from governance.client.console import Console, plain

SHOWN = 20
LOOK_EVERY = 5.0  # seconds between looks at a check that has not finished


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    check = commands.add_parser("check", help="check runs: show, cancel, reproduce")
    actions = check.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", parents=[common], help="how far a check is, or what came of it")
    show.add_argument("run", metavar="RUN", help="id of the check run")
    show.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="until it is finished; default 0"
    )
    show.set_defaults(command=show_run)
    cancel = actions.add_parser(
        "cancel",
        parents=[common],
        help="end a check that has no result yet: requests that wait for it are refused",
    )
    cancel.add_argument("run", metavar="RUN", help="id of the check run")
    cancel.add_argument("--reason", required=True)
    cancel.set_defaults(command=cancel_run)
    again = actions.add_parser(
        "reproduce", parents=[common], help="compute a finished check again and say whether it matches"
    )
    again.add_argument("run", metavar="RUN", help="id of the check run")
    again.add_argument("--wait", type=float, default=600.0, metavar="SECONDS", help="default 600")
    again.set_defaults(command=reproduce)


def show_run(context: Context) -> int:
    """0: completed; 1: errored; 4: not finished in time."""
    options, console = context.options, context.console
    crivo = context.server()
    deadline = time.monotonic() + options.wait
    found, noted = crivo.check_run(options.run), ""
    while not found.finished and (left := deadline - time.monotonic()) > 0:
        if (now := str(found.progress or "")) != noted:
            console.note(f"{found.check}: {now}")
            noted = now
        found = crivo.check_run(options.run, wait=min(left, LOOK_EVERY))
    console.document(found.raw)
    _told(console, found)
    return (OK if found.state == "completed" else REFUSED) if found.finished else PENDING


def cancel_run(context: Context) -> int:
    options, console = context.options, context.console
    found = context.server().cancel_check(options.run, reason=options.reason)
    console.document(found.raw)
    _told(console, found)
    return OK


def _told(console: Console, found: CheckRun) -> None:
    console.say(f"{plain(found.check)} (run {found.id}) is {plain(found.state)}")
    if found.error is not None:
        console.say(f"  {plain(found.error.text)}")
    console.fields(
        [
            *([("progress", str(found.progress))] if found.progress is not None else []),
            *([("result", plain(found.result_digest))] if found.result_digest else []),
        ]
    )


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
