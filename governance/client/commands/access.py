"""Who may do what: roles, groups, tokens, and who could have."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, Context
from governance.client.console import plain


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    access = commands.add_parser("access", help="who may do what").add_subparsers(
        metavar="roles|grant|revoke|recertify|group|person|token|who-could", required=True
    )

    def command(
        name: str, run: Any, text: str, *arguments: str, under: Any = access
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = under.add_parser(name, parents=[common], help=text)
        for argument in arguments:
            parser.add_argument(argument)
        parser.set_defaults(command=run)
        return parser

    roles = command("roles", roles_command, "who holds which role")
    roles.add_argument("--role")
    roles.add_argument("--person", metavar="USER")
    roles.add_argument("--state", choices=["in_force", "lapsed", "revoked"])
    roles.add_argument("--due-within", type=int, metavar="DAYS", help="those that lapse soon")

    grant = command("grant", grant_command, "give a role to a person, a group or a service token", "role")
    whom = grant.add_mutually_exclusive_group(required=True)
    whom.add_argument("--person", metavar="USER")
    whom.add_argument("--group")
    whom.add_argument("--token", metavar="ID")
    where = grant.add_mutually_exclusive_group()
    where.add_argument("--model", help="for this model only")
    where.add_argument("--dataset", help="for this dataset only")
    where.add_argument("--service", action="store_true", help="in every workspace")
    grant.add_argument("--recertify-days", type=int, default=365, help="lapses unless recertified by then")

    command("revoke", revoke_command, "take a role away, at once", "binding_id")
    recertify = command("recertify", recertify_command, "say that a role is still needed", "binding_id")
    recertify.add_argument("--reason", required=True)

    group = access.add_parser("group", help="groups").add_subparsers(
        metavar="list|create|add|remove", required=True
    )
    command("list", groups_command, "all groups and who is in them", under=group)
    create = command("create", create_group_command, "make a group", "name", under=group)
    create.add_argument("--description", default="")
    command("add", add_command, "put somebody into a group", "name", "person", under=group)
    command("remove", remove_command, "take somebody out, at once", "name", "person", under=group)

    person = access.add_parser("person", help="accounts of people").add_subparsers(
        metavar="list|create|deactivate|reactivate", required=True
    )
    command("list", people_command, "people with a role, a group or a token here", under=person)
    make = command(
        "create", create_person_command, "make an account, without a password", "name", under=person
    )
    make.add_argument("--first-name", default="")
    make.add_argument("--last-name", default="")
    make.add_argument("--email", default="")
    for name, run, text in (
        ("deactivate", deactivate_command, "end an account, at once"),
        ("reactivate", reactivate_command, "restore an account"),
    ):
        command(name, run, text, "name", under=person).add_argument("--reason", required=True)

    token = access.add_parser("token", help="tokens").add_subparsers(
        metavar="list|issue|revoke", required=True
    )
    command("list", tokens_command, "tokens you may see", under=token)
    issue = command("issue", issue_command, "issue a token and print it, once", "name", under=token)
    issue.add_argument("--kind", choices=["personal", "service"], default="service")
    issue.add_argument("--scope", action="append", required=True, help="may be repeated")
    issue.add_argument("--days", type=int, default=90)
    issue.add_argument("--person", metavar="USER", help="who answers for a service token; default: you")
    command("revoke", revoke_token_command, "revoke a token, at once", "token_id", under=token)

    who = command("who-could", who_could_command, "who had the means for an action at a time", "action")
    who.add_argument("--at", metavar="TIME", help="e.g. 2026-01-31T00:00:00Z; default now")
    on = who.add_mutually_exclusive_group()
    on.add_argument("--model")
    on.add_argument("--dataset")


def roles_command(context: Context) -> int:
    options, console = context.options, context.console
    wanted = {name: getattr(options, name) for name in ("role", "person", "state", "due_within")}
    found = context.server().bindings(**{name: value for name, value in wanted.items() if value is not None})
    console.document(found)
    rows = [
        (
            row.get("id", ""),
            row.get("role", ""),
            _principal(row),
            row.get("scope", "") if not row.get("on") else f"{row.get('scope')} {row.get('on')}",
            "in force" if row.get("in_force") else "not in force",
            str(row.get("lapses_at", ""))[:10],
        )
        for row in found
    ]
    console.table(("id", "role", "held by", "for", "", "lapses"), rows)
    return OK


def _principal(row: dict[str, Any]) -> str:
    about = row.get("principal")
    return f"{about.get('kind')} {about.get('name')}" if isinstance(about, dict) else ""


def _role(context: Context, row: dict[str, Any], done: str) -> int:
    context.console.document(row)
    waiting = row.get("revoked_at") is None and row.get("effective_from") is None
    later = "; it counts once its event is in a signed checkpoint" if waiting else ""
    context.console.say(f"role {plain(row.get('role', ''))} of {plain(_principal(row))} {done}{later}")
    context.console.fields([("binding", row.get("id", "")), ("lapses", str(row.get("lapses_at", ""))[:10])])
    return OK


def grant_command(context: Context) -> int:
    options = context.options
    given: dict[str, Any] = {
        name: getattr(options, name) for name in ("person", "group", "token") if getattr(options, name)
    }
    for scope in ("model", "dataset"):
        if getattr(options, scope):
            given |= {"scope": scope, "on": getattr(options, scope)}
    if options.service:
        given["scope"] = "service"
    row = context.server().bind(options.role, recertify_days=options.recertify_days, **given)
    return _role(context, row, "given")


def revoke_command(context: Context) -> int:
    return _role(context, context.server().revoke_binding(context.options.binding_id), "taken away")


def recertify_command(context: Context) -> int:
    options = context.options
    row = context.server().recertify(options.binding_id, reason=options.reason)
    return _role(context, row, "recertified")


def _group(context: Context, *rows: dict[str, Any]) -> int:
    context.console.document(list(rows) if len(rows) != 1 else rows[0])
    for row in rows:
        members = row.get("members")
        names = [str(member.get("name")) for member in members] if isinstance(members, list) else []
        context.console.say(f"  {plain(row.get('name', ''))}: {plain(', '.join(names) or 'nobody')}")
    return OK


def groups_command(context: Context) -> int:
    return _group(context, *context.server().groups())


def create_group_command(context: Context) -> int:
    options = context.options
    return _group(context, context.server().create_group(options.name, description=options.description))


def add_command(context: Context) -> int:
    return _group(context, context.server().add_member(context.options.name, context.options.person))


def remove_command(context: Context) -> int:
    return _group(context, context.server().remove_member(context.options.name, context.options.person))


def people_command(context: Context) -> int:
    found = context.server().people()
    context.console.document(found)
    rows = [
        (row.get("username", ""), "active" if row.get("active") else "ended", row.get("email", ""))
        for row in found
    ]
    context.console.table(("name", "", "e-mail"), rows)
    return OK


def _account(context: Context, row: dict[str, Any], done: str) -> int:
    context.console.document(row)
    context.console.say(f"account {plain(row.get('username', ''))} {done}")
    return OK


def create_person_command(context: Context) -> int:
    options = context.options
    about = {name: getattr(options, name) for name in ("first_name", "last_name", "email")}
    row = context.server().create_person(options.name, **about)
    context.console.note("It has no password yet: the operator sets it with manage.py changepassword.")
    return _account(context, row, "made")


def deactivate_command(context: Context) -> int:
    options = context.options
    return _account(context, context.server().deactivate_person(options.name, reason=options.reason), "ended")


def reactivate_command(context: Context) -> int:
    options = context.options
    return _account(
        context, context.server().reactivate_person(options.name, reason=options.reason), "restored"
    )


def tokens_command(context: Context) -> int:
    found = context.server().tokens()
    context.console.document(found)
    names = ("id", "name", "kind", "person", "expires_at", "revoked_at")
    context.console.table(names, [[row.get(name) or "" for name in names] for row in found])
    return OK


def issue_command(context: Context) -> int:
    options = context.options
    row = context.server().issue_token(
        options.name, kind=options.kind, scopes=options.scope, days=options.days, person=options.person
    )
    context.console.document(row)
    context.console.note("It is not shown again:")
    context.console.say(plain(row.get("token") or ""))
    return OK


def revoke_token_command(context: Context) -> int:
    row = context.server().revoke_token(context.options.token_id)
    context.console.document(row)
    context.console.say(f"token {plain(row.get('name', ''))} revoked")
    return OK


def who_could_command(context: Context) -> int:
    options, console = context.options, context.console
    found = context.server().who_could(
        options.action, at=options.at, model=options.model, dataset=options.dataset
    )
    console.document(found)
    console.say(f"{plain(found.get('action', ''))} at {plain(found.get('at', ''))}")
    for kind in ("people", "tokens"):
        for row in found[kind]:
            by = [
                f"{means.get('role')} ({means.get('group') or means.get('scope')})"
                for means in row.get("means") or []
            ]
            console.say(
                f"  {'person' if kind == 'people' else 'token':<9} {plain(row.get('name', ''))}: {plain(', '.join(by))}"
            )
    for name in found.get("superusers") or []:
        console.say(f"  superuser {plain(name)}")
    for row in found["database"]:
        through = ", ".join(row.get("through") or [])
        console.say(
            f"  database  {plain(row.get('name', ''))}{plain(f' through {through}' if through else '')}"
        )
    console.say()
    console.reasons([plain(limit.get("text", "")) for limit in found["limits"]])
    return OK
