"""`crivo person …` and `crivo hold …`: erasing personal data, and the legal holds that forbid it."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, Context
from governance.client.console import plain
from governance.client.errors import Usage

WHO = "user name, or the id that the trail shows"


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    person = commands.add_parser("person", help="personal data: what there is, erasing it").add_subparsers(
        metavar="preview|erase", required=True
    )
    preview = person.add_parser("preview", parents=[common], help="what an erasure would take")
    preview.add_argument("person", help=WHO)
    preview.set_defaults(command=preview_command)
    erase = person.add_parser(
        "erase", parents=[common], help="erase texts, name and address of a person, for good"
    )
    erase.add_argument("person", help=WHO)
    erase.add_argument("--reason", required=True)
    erase.add_argument(
        "--confirm", required=True, metavar="PERSON", help="the person again: nothing brings it back"
    )
    erase.set_defaults(command=erase_command)

    hold = commands.add_parser("hold", help="legal holds: they forbid to erase").add_subparsers(
        metavar="list|place|lift", required=True
    )
    listed = hold.add_parser("list", parents=[common], help="legal holds, the newest first")
    listed.add_argument("--person", help=WHO)
    state = listed.add_mutually_exclusive_group()
    state.add_argument("--standing", action="store_true", help="those that stand only")
    state.add_argument("--lifted", action="store_true", help="those that were lifted only")
    listed.set_defaults(command=holds_command)
    place = hold.add_parser("place", parents=[common], help="forbid to erase what a person wrote")
    place.add_argument("person", help=WHO)
    place.add_argument("--reason", required=True)
    place.set_defaults(command=place_command)
    lift = hold.add_parser("lift", parents=[common], help="end a hold")
    lift.add_argument("hold_id")
    lift.add_argument("--reason", required=True)
    lift.set_defaults(command=lift_command)


def preview_command(context: Context) -> int:
    console = context.console
    found = context.server().personal_data(context.options.person)
    console.document(found)
    console.say(plain(found.get("name") or found.get("username") or found["id"]))
    elsewhere = found.get("held_elsewhere") or 0
    console.fields(
        [
            ("id", found["id"]),
            ("account", found.get("username") or "none"),
            ("texts", str(found["texts"])),
            ("erased", found.get("erased_at") or "never"),
            ("holds", f"{len(found['holds'])}{f', and {elsewhere} elsewhere' if elsewhere else ''}"),
            ("exports", f"{found.get('exports') or 0} may still have their words"),
        ]
    )
    console.reasons([plain(reason.get("text", "")) for reason in found["reasons"]])
    return OK


def erase_command(context: Context) -> int:
    options = context.options
    if options.confirm != options.person:
        raise Usage(f"--confirm says {options.confirm!r}, not {options.person!r}: nothing was erased.")
    done = context.server().erase_person(options.person, reason=options.reason)
    context.console.document(done)
    account = ", and their account is closed without a name" if done.get("account") else ""
    context.console.say(f"erased: {done['texts']} texts{account}")
    context.console.fields([("person", done.get("person", "")), ("event", done["event"])])
    return OK


def _called(row: dict[str, Any]) -> str:
    person = row.get("person")
    if not isinstance(person, dict):
        return ""
    return str(person.get("username") or person.get("name") or person.get("id", ""))


def holds_command(context: Context) -> int:
    options, console = context.options, context.console
    standing = True if options.standing else False if options.lifted else None
    found = context.server().holds(person=options.person, standing=standing)
    console.document(found)
    rows = [
        (
            row.get("id", ""),
            _called(row),
            "stands" if row.get("standing") else "lifted",
            str(row.get("placed_at", ""))[:10],
            row.get("reason", ""),
        )
        for row in found
    ]
    console.table(("id", "person", "", "since", "reason"), rows)
    return OK


def _hold(context: Context, row: dict[str, Any], done: str) -> int:
    context.console.document(row)
    context.console.say(f"legal hold on {plain(_called(row))} {done}")
    context.console.fields([("hold", row["id"])])
    return OK


def place_command(context: Context) -> int:
    options = context.options
    return _hold(context, context.server().place_hold(options.person, reason=options.reason), "stands")


def lift_command(context: Context) -> int:
    options = context.options
    return _hold(context, context.server().lift_hold(options.hold_id, reason=options.reason), "lifted")
