"""`crivo webhook …`: subscribe other systems to the ledger, see how deliveries went, send again."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, Command, Context
from governance.client.console import plain
from governance.client.errors import Usage
from governance.client.webhooks import Webhook


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    webhook = commands.add_parser("webhook", help="tell other systems what happens").add_subparsers(
        metavar="add|list|change|remove|secret|test|deliveries|redeliver", required=True
    )

    def add(name: str, command: Command, summary: str, *, of_one: bool = True) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = webhook.add_parser(name, parents=[common], help=summary)
        parser.set_defaults(command=command)
        if of_one:
            parser.add_argument("webhook", metavar="WEBHOOK", help="its name or id")
        return parser

    new = add("add", add_command, "subscribe an address; its secret is shown once", of_one=False)
    new.add_argument("name")
    new.add_argument("url")
    new.add_argument("--verb", action="append", default=[], help="only events of this kind; may be repeated")
    new.add_argument(
        "--subject", action="append", default=[], metavar="KIND", help="only about such subjects"
    )
    new.add_argument("--refusals", action="store_true", help="also what was refused")
    add("list", list_command, "who is told what", of_one=False)
    change = add("change", change_command, "another name or address, or switch it off and on")
    change.add_argument("--name")
    change.add_argument("--url")
    change.add_argument("--state", choices=["active", "disabled"])
    add("remove", remove_command, "end the subscription")
    secret = add("secret", secret_command, "a new secret; the old one signs beside it for a while")
    secret.add_argument("--overlap-hours", type=int, default=24)
    add("test", test_command, "send crivo.test")
    log = add("deliveries", deliveries_command, "how deliveries went, newest first")
    log.add_argument("--state", choices=["pending", "delivered", "dead"])
    log.add_argument("--limit", type=int, default=50)
    again = add("redeliver", redeliver_command, "send again")
    again.add_argument("--delivery", metavar="ID")
    again.add_argument(
        "--from", dest="from_index", type=int, metavar="INDEX", help="from this place in the log"
    )
    again.add_argument("--to", dest="to_index", type=int, metavar="INDEX")


def _named(context: Context) -> Webhook:
    """By id or by name; the name is what people remember."""
    wanted, crivo = context.options.webhook, context.server()
    found = [row for row in crivo.webhooks() if wanted in (row.id, row.name)]
    if not found:
        raise Usage(
            f"There is no webhook {plain(wanted)!r}. crivo webhook list shows them.", code="not_found"
        )
    return found[0]


def _show(context: Context, row: Webhook) -> int:
    context.console.document(row.raw)
    why = f" ({plain(row.disabled_reason.text)})" if row.disabled_reason else ""
    context.console.say(
        f"{plain(row.name)}: {plain(row.state)}{why}, {row.waiting} waiting, {plain(row.url)}"
    )
    if row.secret:
        context.console.say("Its secret, which is not shown again:")
        context.console.say(plain(row.secret))
    return OK


def add_command(context: Context) -> int:
    options = context.options
    row = context.server().add_webhook(
        options.name,
        options.url,
        verbs=options.verb,
        subject_kinds=options.subject,
        refusals=options.refusals,
    )
    return _show(context, row)


def list_command(context: Context) -> int:
    found = context.server().webhooks()
    context.console.document([row.raw for row in found])
    context.console.table(
        ("name", "state", "waiting", "events", "url"),
        [(row.name, row.state, row.waiting, ", ".join(row.verbs) or "all", row.url) for row in found],
    )
    return OK


def change_command(context: Context) -> int:
    options = context.options
    given = {"name": options.name, "url": options.url, "state": options.state}
    changes = {name: value for name, value in given.items() if value is not None}
    row = _named(context)
    return _show(context, context.server().change_webhook(row.id, **changes))


def remove_command(context: Context) -> int:
    row = _named(context)
    context.server().remove_webhook(row.id)
    context.console.document({"removed": row.id})
    context.console.say(f"{plain(row.name)} is told nothing any more.")
    return OK


def secret_command(context: Context) -> int:
    row = _named(context)
    return _show(
        context, context.server().rotate_webhook_secret(row.id, overlap_hours=context.options.overlap_hours)
    )


def test_command(context: Context) -> int:
    row = context.server().send_test(_named(context).id)
    context.console.document(row.raw)
    context.console.say(f"crivo.test is on its way; see: crivo webhook deliveries {plain(row.name)}")
    return OK


def deliveries_command(context: Context) -> int:
    options = context.options
    found = context.server().deliveries(_named(context).id, state=options.state, limit=options.limit)
    context.console.document([row.raw for row in found])
    context.console.table(
        ("event", "state", "tries", "last", "delivery"),
        [(row.type, row.state, row.attempts, row.last, row.id) for row in found],
    )
    return OK


def redeliver_command(context: Context) -> int:
    options = context.options
    if (options.delivery is None) == (options.from_index is None and options.to_index is None):
        raise Usage("Name one --delivery, or the places --from and --to.", code="redelivery_unclear")
    row = context.server().redeliver(
        _named(context).id,
        delivery=options.delivery,
        from_index=options.from_index,
        to_index=options.to_index,
    )
    return _show(context, row)
