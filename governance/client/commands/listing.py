"""`crivo list …` and `crivo show …`: what is there; `crivo withdraw-request` and `crivo mail`."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any

from governance.client.api import Crivo
from governance.client.commands.common import OK, Context, version_of
from governance.client.console import plain
from governance.client.errors import Usage

Rows = Callable[..., list[dict[str, Any]]]
# What can be listed → how it is asked for and what is shown of it; with --json everything is.
LISTS: dict[str, tuple[Rows, tuple[str, ...]]] = {
    "models": (Crivo.models, ("name", "latest", "created_at")),
    "versions": (Crivo.model_versions, ("n", "state", "artifact_digest", "created_at")),
    "datasets": (Crivo.datasets, ("name", "latest", "zone", "created_at")),
    "dataset-versions": (Crivo.dataset_versions, ("reference", "format", "rows", "digest")),
    "use-cases": (Crivo.use_cases, ("name", "risk_tier", "owner", "n")),
    "history": (Crivo.use_case_history, ("n", "event", "created_at")),
    "policies": (Crivo.policies, ("name", "n", "environment", "use_case", "digest")),
    "policy-versions": (Crivo.policy_versions, ("n", "current", "digest", "created_at")),
    "signoffs": (Crivo.signoffs, ("id", "role", "name", "state", "expires_at")),
    "imports": (Crivo.imports, ("id", "digest", "created_at")),
    "grandfathered": (Crivo.grandfathered, ("id", "model", "environment", "state", "deadline")),
    "reconciliations": (Crivo.reconciliations, ("id", "asked_at", "differences")),
    "exports": (Crivo.exports, ("id", "state", "form", "queued_at")),
}
OF = {
    "versions": "the model",
    "dataset-versions": "the dataset",
    "history": "the use case",
    "policy-versions": "the policy",
    "signoffs": "the request",
}
# One thing by its name or id.
SHOWN: dict[str, Callable[[Crivo, str], dict[str, Any]]] = {
    "model": lambda crivo, name: crivo.model(name),
    "version": lambda crivo, name: crivo.model_version(*version_of(crivo, name, None)),
    "retirement": lambda crivo, name: crivo.retirement(*version_of(crivo, name, None)),
    "dataset": lambda crivo, name: crivo.dataset(name),
    "dataset-version": lambda crivo, name: crivo.dataset_version(*numbered(name)),
    "environment": lambda crivo, name: crivo.environment_named(name),
    "policy-version": lambda crivo, name: crivo.policy_version(*numbered(name)),
    "acknowledgements": lambda crivo, name: crivo.acknowledgements(*numbered(name)),
    "finding": lambda crivo, name: crivo.finding(name),
    "waiver": lambda crivo, name: crivo.waiver(name),
    "check-run": lambda crivo, name: crivo.check_run(name).raw,
    "reconciliation": lambda crivo, name: crivo.reconciliation(name),
    "binding": lambda crivo, name: crivo.binding(name),
    "group": lambda crivo, name: crivo.group(name),
    "person": lambda crivo, name: crivo.person(name),
    "hold": lambda crivo, name: crivo.hold(name),
}


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    listing = commands.add_parser("list", parents=[common], help=f"what is there: {', '.join(LISTS)}")
    listing.add_argument("what", choices=list(LISTS), metavar="WHAT")
    listing.add_argument("of", nargs="?", metavar="OF", help="the name or id of what they belong to")
    listing.add_argument("--limit", type=int, default=200, help="at most so many, the newest first (200)")
    listing.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="only those, e.g. name=credit; repeatable",
    )
    listing.set_defaults(command=list_command)
    show = commands.add_parser("show", parents=[common], help=f"one of them: {', '.join(SHOWN)}")
    show.add_argument("what", choices=list(SHOWN), metavar="WHAT")
    show.add_argument("which", metavar="WHICH", help="its name, NAME@VERSION or id")
    show.set_defaults(command=show_command)
    withdraw = commands.add_parser(
        "withdraw-request", parents=[common], help="take back your own request for promotion"
    )
    withdraw.add_argument("promotion_id")
    withdraw.add_argument("--reason", required=True)
    withdraw.set_defaults(command=withdraw_command)
    mail = commands.add_parser("mail", parents=[common], help="how you get mail about what waits for you")
    mail.add_argument("mode", nargs="?", choices=["immediately", "daily", "never"])
    mail.add_argument("--language", choices=["en", "pt-br"])
    mail.set_defaults(command=mail_command)


def numbered(text: str) -> tuple[str, int]:
    name, _, n = text.rpartition("@")
    if not name or not (n.isascii() and n.isdecimal()):
        raise Usage(f"{text!r} is no version: NAME@NUMBER.")
    return name, int(n)


def _wanted(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.isidentifier() or name in ("cursor", "page_size"):
            raise Usage(f"{pair!r} is not NAME=VALUE.")
        found[name] = value
    return found


def list_command(context: Context) -> int:
    options, console = context.options, context.console
    if (options.what in OF) != (options.of is not None):
        about = f"Name {OF[options.what]}" if options.what in OF else "Nothing more is named"
        raise Usage(f"{about}: crivo list {options.what}{' OF' if options.what in OF else ''}.")
    if options.limit < 1:
        raise Usage("--limit is a number from 1.")
    ask, columns = LISTS[options.what]
    known = inspect.signature(ask).parameters
    wanted = _wanted(options.where)
    if wanted and ("filters" not in known or set(wanted) & set(known)):
        raise Usage(f"crivo list {options.what} has no such --where.")
    given = [options.of] if options.of is not None else []
    limit = {"limit": options.limit} if "limit" in known else {}
    rows = ask(context.server(), *given, **limit, **wanted)
    console.document(rows)
    console.table(columns, [tuple(_text(row.get(column)) for column in columns) for row in rows])
    return OK


def show_command(context: Context) -> int:
    found = SHOWN[context.options.what](context.server(), context.options.which)
    context.console.document(found)
    context.console.fields([(name, _text(value)) for name, value in found.items()])
    return OK


def _text(value: object) -> str:
    return "" if value is None else plain(value)


def withdraw_command(context: Context) -> int:
    options = context.options
    found = context.server().withdraw_promotion(options.promotion_id, reason=options.reason)
    context.console.document(found.raw)
    context.console.promotion(found)
    return OK


def mail_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    if options.mode is None and options.language is not None:
        raise Usage("Say also the mode: immediately, daily or never.")
    details = {} if options.language is None else {"language": options.language}
    found = crivo.mail() if options.mode is None else crivo.set_mail(options.mode, **details)
    context.console.document(found)
    context.console.fields([(name, _text(value)) for name, value in found.items()])
    return OK
