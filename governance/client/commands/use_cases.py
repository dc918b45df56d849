"""Use cases: the questions, registering, reading, changing, and giving another risk tier."""

from __future__ import annotations

import argparse
from typing import Any

from governance.client.commands.common import OK, Context, asked_before, object_of
from governance.client.console import plain
from governance.client.errors import Usage
from governance.client.shapes import UseCase

TEXTS = ("problem", "intended-users", "affected-people", "expected-return", "human-oversight", "owner")
LISTS = ("success-metric", "stakeholder", "legal-basis")
MANY = {"success-metric": "success_metrics", "stakeholder": "stakeholders", "legal-basis": "legal_basis"}


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    use_case = commands.add_parser("use-case", help="what a model is for, and its risk tier").add_subparsers(
        metavar="register|questions|show|edit|set-tier", required=True
    )
    register = use_case.add_parser("register", parents=[common], help="register a use case")
    register.add_argument("name")
    register.add_argument("--purpose", required=True, help="what decisions it serves, in a sentence")
    tier = register.add_mutually_exclusive_group(required=True)
    tier.add_argument("--risk-tier", help="declared: minimal, limited or high")
    tier.add_argument(
        "--questionnaire", metavar="FILE", help="answers (JSON), from which the tier is computed"
    )
    _details(register)
    register.set_defaults(command=register_use_case)

    questions = use_case.add_parser(
        "questions", parents=[common], help="print the blank questionnaire (JSON), to be filled in"
    )
    questions.add_argument("--language", choices=["en", "pt-br"], default="en")
    questions.set_defaults(command=questions_command)

    show = use_case.add_parser("show", parents=[common], help="what a use case says")
    show.add_argument("name")
    show.set_defaults(command=show_command)

    edit = use_case.add_parser("edit", parents=[common], help="change what is given; the rest stays")
    edit.add_argument("name")
    edit.add_argument("--purpose")
    edit.add_argument("--questionnaire", metavar="FILE")
    _details(edit)
    edit.set_defaults(command=edit_command)

    set_tier = use_case.add_parser("set-tier", parents=[common], help="another tier than the computed one")
    set_tier.add_argument("name")
    set_tier.add_argument("risk_tier", metavar="TIER", help="minimal, limited or high")
    set_tier.add_argument("--reason", required=True)
    set_tier.set_defaults(command=tier_command)


def _details(parser: argparse.ArgumentParser) -> None:
    for name in TEXTS:
        parser.add_argument(f"--{name}", metavar="USER" if name == "owner" else "TEXT")
    for name in LISTS:
        help = "e.g. LGPD-7-V or GDPR-6-1-b; may be repeated" if name == "legal-basis" else "may be repeated"
        parser.add_argument(f"--{name}", action="append", metavar="TEXT", help=help)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    found = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in TEXTS}
    found |= {MANY[name]: getattr(options, name.replace("-", "_")) for name in LISTS}
    if options.questionnaire is not None:
        form = object_of(options.questionnaire)
        answers = form.get("answers")
        if not isinstance(answers, dict):
            raise Usage(
                f"{options.questionnaire} has no answers. crivo use-case questions prints the form.",
                code="questionnaire_malformed",
            )
        found["questionnaire"] = {"version": form.get("version"), "answers": answers}
    return {name: value for name, value in found.items() if value is not None}


def register_use_case(context: Context) -> int:
    options, console = context.options, context.console
    found = context.server().register_use_case(
        options.name, purpose=options.purpose, risk_tier=options.risk_tier, **_given(options)
    )
    console.document(found.raw)
    console.say(
        f"use case {plain(found.name)} {asked_before(found.created)}, risk tier {plain(found.risk_tier)}"
    )
    return OK


def questions_command(context: Context) -> int:
    """A form that `--questionnaire` reads again: members it does not know are the questions themselves."""
    asked = context.server().questionnaire()
    language = context.options.language
    form = {
        "version": asked.get("version"),
        "help": "Answer each question with yes, no or unsure, in the place of the null. Unsure counts as yes.",
        "questions": {
            str(
                question.get("id")
            ): f"{(question.get('text') or {}).get(language, '')} ({question.get('basis')})"
            for question in asked["questions"]
        },
        "answers": {str(question.get("id")): None for question in asked["questions"]},
    }
    context.console.form(form)
    return OK


def show_command(context: Context) -> int:
    return _shown(context, context.server().use_case(context.options.name))


def edit_command(context: Context) -> int:
    options = context.options
    changes = _given(options) | ({"purpose": options.purpose} if options.purpose is not None else {})
    if not changes:
        raise Usage("Nothing to change was given.", code="nothing_to_change")
    crivo = context.server()
    read = crivo.use_case(options.name)
    return _shown(context, crivo.edit_use_case(options.name, etag=read.etag, **changes))


def tier_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    read = crivo.use_case(options.name)
    changed = crivo.set_tier(options.name, options.risk_tier, reason=options.reason, etag=read.etag)
    return _shown(context, changed)


def _shown(context: Context, found: UseCase) -> int:
    context.console.document(found.raw)
    context.console.say(context.console.paint(plain(found.name), "bold"))
    computed = found.raw.get("computed_tier")
    intake = found.raw.get("intake")
    rows: list[tuple[str, object]] = [
        ("purpose", found.purpose),
        ("risk tier", f"{found.risk_tier} ({f'computed: {computed}' if computed else 'declared'})"),
    ]
    for name, value in (intake if isinstance(intake, dict) else {}).items():
        rows.append(
            (str(name).replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else value)
        )
    context.console.fields(rows)
    return OK
