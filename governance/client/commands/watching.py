"""Findings, waivers, conditions, re-reviews, broken glass and alarms on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from governance.client.commands.common import OK, Context
from governance.client.console import plain
from governance.client.errors import Usage
from governance.client.watching import Watched


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    finding = _group(commands, "finding", "object to a version, and see it through")
    add = _command(finding, common, "open", "object to a version", _open_finding)
    _version(add)
    add.add_argument("--severity", required=True, choices=["low", "medium", "high", "critical"])
    add.add_argument("--owner", required=True, help="user name of who has to answer")
    add.add_argument("--due", required=True, metavar="DATE")
    add.add_argument("--text", required=True)
    add.add_argument("--evidence", default="", metavar="DIGEST")
    _listing(finding, common, lambda context: context.server().findings(**_filters(context)))
    _on(finding, common, "answer", "as its owner", "text", _call("answer_finding", "text"))
    for name, method in (("verify", "verify_finding"), ("close", "close_finding")):
        judge = _on(finding, common, name, "as another person", "text", _judge(method))
        judge.add_argument("--send-back", action="store_true", help="the answer does not hold")

    waiver = _group(commands, "waiver", "do without one requirement for a while")
    add = _command(waiver, common, "request", "ask for one", _request_waiver)
    _version(add)
    add.add_argument("--environment", required=True, metavar="ENV")
    add.add_argument("--check", required=True)
    add.add_argument("--metric", default="")
    add.add_argument("--attribute", default="")
    add.add_argument("--reason", required=True)
    add.add_argument("--control", required=True, help="what is done instead")
    add.add_argument("--expires", required=True, metavar="DATE")
    _listing(waiver, common, lambda context: context.server().waivers(**_filters(context)))
    for name in ("approve", "refuse", "revoke"):
        _on(waiver, common, name, f"{name} one", "reason", _call(f"{name}_waiver", "reason"))

    condition = _group(commands, "condition", "what an approval depends on")
    shown = _command(condition, common, "list", "of a promotion", _conditions)
    shown.add_argument("promotion_id")
    _on(condition, common, "report", "say that it is fulfilled", "text", _call("report_condition", "text"))
    judge = _on(condition, common, "verify", "as another person", "text", _judge("verify_condition"))
    judge.add_argument("--send-back", action="store_true", help="it is not fulfilled")

    review = _group(commands, "review", "re-reviews of what stands somewhere")
    _listing(review, common, lambda context: context.server().reviews(**_filters(context)))
    _on(
        review,
        common,
        "complete",
        "it may go on standing there",
        "reason",
        _call("complete_review", "reason"),
    )

    glass = _group(commands, "glass", "let a refused version through, with an alarm")
    add = _command(glass, common, "break", "for some hours", _break_glass)
    _version(add)
    add.add_argument("--environment", required=True, metavar="ENV")
    add.add_argument("--hours", required=True, type=int)
    add.add_argument("--reason", required=True)
    _listing(glass, common, lambda context: context.server().broken_glass(state=context.options.state), False)
    _on(glass, common, "end", "shut the gate again", "reason", _call("end_glass", "reason"))

    alarm = _group(commands, "alarm", "alarms of broken glass")
    _listing(alarm, common, lambda context: context.server().alarms(state=context.options.state), False)
    _on(
        alarm,
        common,
        "sign-off",
        "as somebody outside engineering",
        "reason",
        _call("sign_off_alarm", "reason"),
    )


def moment(text: str) -> str:
    """A date (its end, in UTC) or a time with its zone, as RFC 3339."""
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC).isoformat()
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"{text!r} is no date (2027-01-31) or time (2027-01-31T12:00Z).") from error
    if at.tzinfo is None:
        raise Usage(f"{text!r} needs a time zone, e.g. a Z at its end.")
    return at.isoformat()


def conditions_of(texts: Sequence[str]) -> list[dict[str, str]]:
    """`DATE: TEXT`, as `crivo approve --condition` takes them."""
    found = []
    for given in texts:
        when, separator, text = given.partition(": ")
        if not separator or not text.strip():
            raise Usage("A condition is written DATE: TEXT, e.g. '2027-01-31: recalibrate'.")
        found.append({"due": moment(when.strip()), "text": text.strip()})
    return found


Act = Callable[[Context], int]


def _group(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text).add_subparsers(
        dest=f"{name}_command", metavar="COMMAND", required=True
    )


def _command(group: Any, common: argparse.ArgumentParser, name: str, text: str, act: Act) -> Any:
    parser = group.add_parser(name, parents=[common], help=text)
    parser.set_defaults(command=act)
    return parser


def _version(parser: Any) -> None:
    parser.add_argument("name")
    parser.add_argument("version", type=int)


def _on(group: Any, common: argparse.ArgumentParser, name: str, text: str, words: str, act: Act) -> Any:
    parser = _command(group, common, name, text, act)
    parser.add_argument("id")
    parser.add_argument(f"--{words}", required=True)
    return parser


def _listing(
    group: Any,
    common: argparse.ArgumentParser,
    find: Callable[[Context], list[Watched]],
    by_model: bool = True,
) -> None:
    parser = _command(
        group, common, "list", "the newest first", lambda context: _table(context, find(context))
    )
    parser.add_argument("--state")
    if by_model:
        parser.add_argument("--model")


def _filters(context: Context) -> dict[str, Any]:
    return {"state": context.options.state, "model": context.options.model}


def _call(method: str, words: str) -> Act:
    def act(context: Context) -> int:
        options = context.options
        call = getattr(context.server(), method)
        return _said(context, call(options.id, **{words: getattr(options, words)}))

    return act


def _judge(method: str) -> Act:
    def act(context: Context) -> int:
        options = context.options
        call = getattr(context.server(), method)
        return _said(context, call(options.id, text=options.text, holds=not options.send_back))

    return act


def _open_finding(context: Context) -> int:
    options = context.options
    return _said(
        context,
        context.server().open_finding(
            options.name,
            options.version,
            severity=options.severity,
            owner=options.owner,
            due=moment(options.due),
            text=options.text,
            evidence_digest=options.evidence,
        ),
    )


def _request_waiver(context: Context) -> int:
    options = context.options
    return _said(
        context,
        context.server().request_waiver(
            options.name,
            options.version,
            environment=options.environment,
            check=options.check,
            metric=options.metric,
            attribute=options.attribute,
            reason=options.reason,
            compensating_control=options.control,
            expires_at=moment(options.expires),
        ),
    )


def _conditions(context: Context) -> int:
    return _table(context, context.server().conditions(context.options.promotion_id))


def _break_glass(context: Context) -> int:
    options = context.options
    return _said(
        context,
        context.server().break_glass(
            options.name,
            options.version,
            environment=options.environment,
            reason=options.reason,
            hours=options.hours,
        ),
    )


def _said(context: Context, row: Watched) -> int:
    context.console.document(row.raw)
    context.console.say(f"{plain(row.id)}: {plain(row.state)}")
    return OK


COLUMNS = ("severity", "environment", "check", "metric", "attribute", "due", "expires_at")


def _table(context: Context, rows: list[Watched]) -> int:
    context.console.document([row.raw for row in rows])
    if not rows:
        context.console.say("There is none that you may see.")
        return OK
    shown = [name for name in COLUMNS if any(row.raw.get(name) for row in rows)]
    context.console.table(
        ("id", "state", "of", *(name.replace("_", " ") for name in shown)),
        [
            (
                row.id,
                row.state,
                f"{row.raw['model']}@{row.raw.get('n')}"
                if row.raw.get("model")
                else str(row.raw.get("n", "")),
                *(str(row.raw.get(name) or "") for name in shown),
            )
            for row in rows
        ],
    )
    return OK
