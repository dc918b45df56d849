"""After a grant: where a version stands, stopping it, going back, retiring, aliases, deployments, environments."""

from __future__ import annotations

import argparse
import time
from typing import Any

from governance.client.commands.common import OK, PENDING, REFUSED, Context, version_of
from governance.client.console import number, plain
from governance.client.lifecycle import MODES, Deployment, Placement

WAITED = 30.0


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    def command(name: str, text: str, run: Any, *, version: bool = True) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, parents=[common], help=text)
        made.add_argument("name", metavar="NAME[@VERSION]" if version else "NAME")
        if version:
            made.add_argument("version", nargs="?", help="a number or an alias")
        made.set_defaults(command=run)
        return made

    command("standing", "where a version stands, and what the gate says of it", standing_command)
    for name, text in (
        ("suspend", "stop a version, at once"),
        ("reinstate", "let a suspended version go on"),
    ):
        stop = command(name, text, stop_command)
        stop.add_argument("--environment", metavar="ENV", help="only there; without it everywhere")
        stop.add_argument("--reason", required=True)
        stop.set_defaults(what=name)
    withdraw = command("withdraw", "take a version out of an environment for good", withdraw_command)
    withdraw.add_argument("--environment", metavar="ENV", required=True)
    withdraw.add_argument("--reason", required=True)
    rollback = command(
        "rollback", "back to the version that was live before", rollback_command, version=False
    )
    rollback.add_argument("--environment", metavar="ENV", required=True)
    rollback.add_argument("--reason", required=True)
    rollback.add_argument("--to", metavar="VERSION", help="a number or an alias")
    rollback.add_argument("--wait", action="store_true", help="until the gate says yes to it")
    retire = command("retire", "the end of a version", retire_command)
    retire.add_argument("--reason", required=True)
    retire.add_argument("--successor", metavar="NAME@N", default="", help="what to use instead")
    compare = command("compare", "a version beside the one that is live", compare_command)
    compare.add_argument("--environment", metavar="ENV", default="production")
    _declare_groups(commands, common)


def _declare_groups(commands: Any, common: argparse.ArgumentParser) -> None:
    def group(name: str, text: str) -> Any:
        made = commands.add_parser(name, help=text)
        return made.add_subparsers(dest="action", metavar="ACTION", required=True)

    alias = group("alias", "names for versions of a model")
    for action, run in (
        ("list", alias_list_command),
        ("set", alias_set_command),
        ("remove", alias_remove_command),
    ):
        made = alias.add_parser(action, parents=[common])
        made.add_argument("name")
        if action != "list":
            made.add_argument("alias")
        if action == "set":
            made.add_argument("version", help="a number or another alias")
        made.set_defaults(command=run)

    environment = group("environment", "the steps of the way to production")
    environment.add_parser("list", parents=[common]).set_defaults(command=environment_list_command)
    for action in ("add", "change"):
        made = environment.add_parser(action, parents=[common])
        made.add_argument("name")
        made.add_argument("--exclusive", action=argparse.BooleanOptionalAction, default=None)
        made.add_argument("--position", type=int, help="0 is the first")
        made.set_defaults(command=environment_change_command)

    deployment = group("deployment", "records of what runs where")
    made = deployment.add_parser("record", parents=[common])
    made.add_argument("name", metavar="NAME[@VERSION]")
    made.add_argument("version", nargs="?")
    made.add_argument("--environment", metavar="ENV", required=True)
    made.add_argument("--mode", choices=MODES, default="live")
    made.add_argument("--share", type=float, help="of the traffic, 0 to 1")
    made.add_argument("--location", default="", help="where it answers")
    made.add_argument("--since", metavar="TIME", help="ISO 8601; default now")
    made.set_defaults(command=deployment_record_command)
    made = deployment.add_parser("list", parents=[common])
    made.add_argument("--environment", metavar="ENV")
    made.add_argument("--all", action="store_true", help="also what has ended")
    made.set_defaults(command=deployment_list_command)
    made = deployment.add_parser("end", parents=[common])
    made.add_argument("deployment_id")
    made.add_argument("--until", metavar="TIME", help="ISO 8601; default now")
    made.set_defaults(command=deployment_end_command)


def _asked(context: Context) -> tuple[str, int]:
    return version_of(context.server(), context.options.name, context.options.version)


def _shown(context: Context, placement: Placement) -> int:
    console = context.console
    console.say(
        f"{plain(placement.model)}@{placement.n} in {plain(placement.environment)}: {plain(placement.state)}"
    )
    console.reasons([plain(reason.text) for reason in placement.reasons])
    return OK


def standing_command(context: Context) -> int:
    found = context.server().standing(*_asked(context))
    console = context.console
    console.document(found.raw)
    archived = " (archived)" if found.archived else ""
    console.say(f"{plain(found.model)}@{found.n}: {plain(found.state)}{archived}")
    if found.placements:
        console.table(
            ("environment", "state", "gate", "placement"),
            [
                (
                    row.environment,
                    row.state,
                    "yes" if row.allowed else "no: " + ", ".join(reason.code for reason in row.reasons),
                    row.id,
                )
                for row in found.placements
            ],
        )
    return OK


def stop_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    name, n = _asked(context)
    if options.environment is None:
        act = crivo.suspend_version if options.what == "suspend" else crivo.reinstate_version
        found = act(name, n, reason=options.reason)
        context.console.document(found.raw)
        context.console.say(f"{plain(found.model)}@{found.n}: {plain(found.state)}")
        return OK
    placement = crivo.standing(name, n).placement_in(options.environment)
    change = crivo.suspend_placement if options.what == "suspend" else crivo.reinstate_placement
    changed = change(placement.id, reason=options.reason)
    context.console.document(changed.raw)
    return _shown(context, changed)


def withdraw_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    placement = crivo.standing(*_asked(context)).placement_in(options.environment)
    changed = crivo.withdraw_placement(placement.id, reason=options.reason)
    context.console.document(changed.raw)
    return _shown(context, changed)


def rollback_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    to = None if options.to is None else version_of(crivo, options.name, options.to)[1]
    placement = crivo.roll_back(options.name, environment=options.environment, reason=options.reason, to=to)
    deadline = time.monotonic() + WAITED
    while options.wait and not placement.allowed and time.monotonic() < deadline:
        time.sleep(0.25)
        standing = crivo.standing(placement.model, placement.n)
        same = next((row for row in standing.placements if row.id == placement.id), None)
        if same is None or same.state != "live":
            placement = same or placement
            break
        placement = same
    context.console.document(placement.raw)
    _shown(context, placement)
    if not options.wait:
        return OK
    if placement.allowed:
        return OK
    return PENDING if placement.state == "live" else REFUSED


def retire_command(context: Context) -> int:
    name, n = _asked(context)
    data = context.server().retire(
        name, n, reason=context.options.reason, successor=context.options.successor
    )
    context.console.document(data)
    instead = f"; use {plain(data['successor'])}" if data.get("successor") else ""
    context.console.say(f"{plain(name)}@{n}: {plain(data['state'])}{instead}")
    return OK


def alias_list_command(context: Context) -> int:
    found = context.server().aliases(context.options.name)
    context.console.document([alias.raw for alias in found])
    if found:
        context.console.table(
            ("alias", "version", "state"), [(row.alias, f"{row.model}@{row.n}", row.state) for row in found]
        )
    return OK


def alias_set_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    _, n = version_of(crivo, options.name, options.version)
    alias = crivo.set_alias(options.name, options.alias, n)
    context.console.document(alias.raw)
    context.console.say(f"{plain(alias.model)}@{plain(alias.alias)} is {plain(alias.model)}@{alias.n}")
    return OK


def alias_remove_command(context: Context) -> int:
    options = context.options
    context.server().remove_alias(options.name, options.alias)
    context.console.document({"removed": options.alias})
    context.console.say(f"{plain(options.name)}@{plain(options.alias)} stands for nothing now")
    return OK


def environment_list_command(context: Context) -> int:
    found = context.server().environments()
    context.console.document([row.raw for row in found])
    context.console.table(
        ("", "environment", "live at once"),
        [(row.position, row.name, "one version" if row.exclusive else "any number") for row in found],
    )
    return OK


def environment_change_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    if options.action == "add":
        row = crivo.add_environment(
            options.name, exclusive=bool(options.exclusive), position=options.position
        )
    else:
        row = crivo.change_environment(options.name, exclusive=options.exclusive, position=options.position)
    context.console.document(row.raw)
    context.console.say(f"{plain(row.name)}: step {row.position}{', exclusive' if row.exclusive else ''}")
    return OK


def _deployments(context: Context, rows: list[Deployment]) -> None:
    context.console.table(
        ("version", "environment", "mode", "share", "since", "until", "allowed", "record"),
        [
            (
                f"{row.model}@{row.n}",
                row.environment,
                row.mode,
                number(row.share),
                row.since,
                row.until or "–",
                "NOT NOW" if row.not_allowed else ("yes" if row.allowed else "was not"),
                row.id,
            )
            for row in rows
        ],
    )


def deployment_record_command(context: Context) -> int:
    options = context.options
    name, n = _asked(context)
    row = context.server().record_deployment(
        name,
        n,
        environment=options.environment,
        mode=options.mode,
        share=options.share,
        location=options.location,
        since=options.since,
    )
    context.console.document(row.raw)
    context.console.say(f"recorded as {plain(row.id)}")
    if row.not_allowed:
        context.console.say(f"  {context.console.paint('NOT ALLOWED', 'red')}: {plain(row.basis.text)}")
    return OK


def deployment_list_command(context: Context) -> int:
    options = context.options
    found = context.server().deployments(
        environment=options.environment, running=None if options.all else True
    )
    context.console.document([row.raw for row in found])
    if found:
        _deployments(context, found)
    return OK


def deployment_end_command(context: Context) -> int:
    row = context.server().end_deployment(context.options.deployment_id, until=context.options.until)
    context.console.document(row.raw)
    context.console.say(f"{plain(row.model)}@{row.n} ended in {plain(row.environment)} at {plain(row.until)}")
    return OK


def compare_command(context: Context) -> int:
    """0 also where nothing can be compared: then the reason is the answer."""
    name, n = _asked(context)
    data = context.server().comparison(name, n, environment=context.options.environment)
    console = context.console
    console.document(data)
    if data.get("live") is None:
        console.reasons([plain((data.get("reason") or {}).get("text", ""))])
        return OK
    console.say(f"{plain(data['this'])} beside {plain(data['live'])} in {plain(data.get('environment', ''))}")
    for part in ("metrics", "bias"):
        check = data.get(part) or {}
        if not check.get("comparable"):
            console.reasons([plain((check.get("reason") or {}).get("text", ""))])
            continue
        console.table(
            ("metric", "of", "this", "live", "difference", "p", "test"),
            [
                (
                    row["metric"],
                    " ".join(filter(None, (row.get("attribute"), row.get("group")))),
                    number(row["this"]["value"]),
                    number(row["live"]["value"]),
                    number(row["difference"]),
                    number(row["test"]["p_holm"]) if row.get("test") else "–",
                    row["test"]["name"] if row.get("test") else "none",
                )
                for row in check["metrics"]
            ],
        )
    shift = data.get("importance") or {}
    if shift.get("comparable"):
        console.say(f"  rank correlation of importance: {number(shift.get('rank_correlation'))}")
    else:
        console.reasons([plain((shift.get("reason") or {}).get("text", ""))])
    return OK
