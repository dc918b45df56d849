"""Asking for a promotion, following it, deciding on it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from governance.client.check_runs import Progress
from governance.client.commands.common import OK, PENDING, REFUSED, Context, version_of
from governance.client.commands.watching import conditions_of
from governance.client.console import STATES, plain
from governance.client.errors import Refused, Usage
from governance.client.shapes import Promotion

DEFAULT_WAIT = 600.0


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    promote = commands.add_parser("promote", parents=[common], help="ask for the next environment")
    promote.add_argument("name", metavar="NAME[@VERSION]")
    promote.add_argument("version", nargs="?", help="a number or an alias")
    promote.add_argument("--to", required=True, metavar="ENV")
    promote.add_argument("--reason", required=True)
    promote.add_argument("--wait", action="store_true", help="for the checks, and until it is effective")
    promote.add_argument("--for-people", action="store_true", help="with --wait: wait for approvals, too")
    promote.add_argument(
        "--timeout", type=float, default=DEFAULT_WAIT, metavar="S", help="wait so many seconds at most (default 600)"
    )  # fmt: skip
    promote.set_defaults(command=promote_command)

    status = commands.add_parser("status", parents=[common], help="where promotions stand")
    status.add_argument("which", nargs="*", metavar="PROMOTION_ID | NAME VERSION")
    status.set_defaults(command=status_command)

    for name, verdict, text in (
        ("approve", "approve", "say yes to a promotion"),
        ("reject", "reject", "say no to a promotion"),
        ("request-changes", "request_changes", "send a promotion back"),
    ):
        decide = commands.add_parser(name, parents=[common], help=text)
        decide.add_argument("promotion_id")
        decide.add_argument("--reason", required=True)
        decide.add_argument("--dossier", metavar="DIGEST", help="decide only if the dossier is this one")
        decide.add_argument("--yes", action="store_true", help="do not ask again on a terminal")
        if verdict == "approve":
            decide.add_argument(
                "--condition",
                action="append",
                default=[],
                metavar="DATE: TEXT",
                help="missed, the gate shuts",
            )
        decide.set_defaults(command=decide_command, verdict=verdict)

    for name, text in (
        ("attestation", "print the signed statement of a promotion"),
        ("receipt", "print the proof that a grant is in the log"),
    ):
        proof = commands.add_parser(name, parents=[common], help=text)
        proof.add_argument("promotion_id")
        proof.set_defaults(command=proof_command, proof=name)


def exit_of(promotion: Promotion) -> int:
    """0 effective, 1 over without a yes, 4 anything may still happen."""
    if promotion.effective:
        return OK
    return PENDING if promotion.state in ("checking", "awaiting_approval", "granted") else REFUSED


def promote_command(context: Context) -> int:
    options, console, crivo = context.options, context.console, context.server()
    if not options.timeout >= 0:  # also not a number
        raise Usage("--timeout is a number of seconds.")
    name, n = version_of(crivo, options.name, options.version)
    promotion = crivo.promote(name, n, to=options.to, reason=options.reason)
    if not options.wait:
        console.document(promotion.raw)
        console.promotion(promotion)
        console.say(f"\nFollow it with: crivo status {plain(promotion.id)}")
        return OK
    last = ""

    def seen(now: Promotion) -> None:
        nonlocal last
        state = "effective" if now.effective else now.state
        if state != last and not console.as_json:
            console.note(f"{now.reference} to {now.to}: {STATES.get(state, (state, ''))[0]}")
            last = state

    def enough(now: Promotion) -> bool:
        return exit_of(now) != PENDING or (now.state == "awaiting_approval" and not options.for_people)

    promotion = crivo.wait(promotion.id, seconds=options.timeout, until=enough, seen=seen)
    console.document(promotion.raw)
    console.promotion(promotion)
    if exit_of(promotion) == PENDING:
        console.say(
            f"\nStill pending: {_awaited(promotion)}. Follow it with: crivo status {plain(promotion.id)}"
        )
    return exit_of(promotion)


def _awaited(promotion: Promotion) -> str:
    if promotion.state == "checking":
        running = [check for check in promotion.raw.get("checks", ()) if check.get("progress")]
        told = "; ".join(f"{plain(check['check'])}: {Progress.read(check['progress'])}" for check in running)
        return f"the checks have not finished{f' ({told})' if told else ''}"
    if promotion.state == "granted":
        return "its event is not in a signed checkpoint yet"
    missing = [f"{plain(slot.role)} ({slot.missing})" for slot in promotion.approvals if slot.missing]
    return f"approvals are missing by {', '.join(missing)}"


def status_command(context: Context) -> int:
    which, console, crivo = context.options.which, context.console, context.server()
    if len(which) > 2:
        raise Usage("crivo status takes nothing, a promotion id, or the name and version of a model.")
    if len(which) == 1 and "@" in which[0]:
        which = [*which[0].rsplit("@", 1)]
    if len(which) == 1:
        promotion = crivo.promotion(which[0])
        console.document(promotion.raw)
        console.promotion(promotion)
        return exit_of(promotion)
    if not which:
        found = crivo.promotions()
    else:
        name, n = version_of(crivo, *which)
        found = [row for row in crivo.promotions(model=name, limit=5000) if row.n == n]
    console.document([promotion.raw for promotion in found])
    if not found:
        console.say(
            "No promotion was asked for." if which else "No promotion that you may see was asked for."
        )
        return OK
    console.table(
        ("version", "to", "state", "promotion"),
        [(row.reference, row.to, "effective" if row.effective else row.state, row.id) for row in found],
    )
    if not which:
        return OK
    console.say()
    console.promotion(found[0])
    return exit_of(found[0])


def decide_command(context: Context) -> int:
    options, console, crivo = context.options, context.console, context.server()
    conditions = conditions_of(getattr(options, "condition", []))
    promotion = crivo.promotion(options.promotion_id)
    console.promotion(promotion)
    if promotion.state == "checking":
        console.document(promotion.raw)
        console.say("\nThe checks have not finished: there is nothing to decide on yet.")
        return PENDING
    pinned = options.dossier or promotion.dossier_digest
    asks = options.dossier is None and not options.yes and not console.as_json
    if asks and sys.stdin.isatty() and console.out.isatty():
        print(
            f"\n{options.verdict.replace('_', ' ')} on this dossier? [y/N] ",
            end="",
            file=console.out,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            console.say("Nothing was decided.")
            return REFUSED
    decision = crivo.decide(
        promotion.id, options.verdict, reason=options.reason, dossier_digest=pinned, conditions=conditions
    )
    console.document(decision.raw)
    console.say(
        f"\nRecorded: {plain(decision.verdict.replace('_', ' '))} as {plain(decision.role)}, "
        f"on the dossier {plain(pinned)}"
    )
    state, _ = STATES.get(decision.promotion.state, (decision.promotion.state, ""))
    console.say(f"{plain(promotion.reference)} to {plain(promotion.to)}: {plain(state)}")
    return OK


def proof_command(context: Context) -> int:
    """To stdout as it came, to be piped into a file."""
    options, crivo = context.options, context.server()
    try:
        data = (crivo.attestation if options.proof == "attestation" else crivo.receipt)(options.promotion_id)
    except Refused as refusal:
        if refusal.code != "attestation_pending":
            raise
        context.console.failure(refusal)
        return PENDING
    out = context.console.out
    if hasattr(out, "buffer"):
        out.buffer.write(data)
        out.buffer.flush()
    else:
        out.write(data.decode())
    return OK
