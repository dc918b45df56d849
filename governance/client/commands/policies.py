"""`crivo policy …`: plan and propose from a Git checkout, decide, compare, rehearse; `crivo signoff …`."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

from governance.client.api import Crivo
from governance.client.commands.common import OK, REFUSED, Context, text_of
from governance.client.console import Console, plain
from governance.client.errors import Refused, Usage
from governance.client.multipart import unreadable
from governance.client.shapes import PolicyChange, PolicyPlan

MARKS = {"tighter": "+", "looser": "-", "other": "~"}


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    policy = commands.add_parser("policy", help="change policies, compare and rehearse them").add_subparsers(
        metavar="apply|changes|approve|reject|withdraw|diff|test|acknowledge", required=True
    )

    def add(name: str, command: Any, summary: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = policy.add_parser(name, parents=[common], help=summary)
        parser.set_defaults(command=command)
        return parser

    apply = add("apply", apply_policies, "show what the files would change; with --yes, propose it")
    apply.add_argument("path", metavar="FILE|DIR", help="a policy file, or a folder of *.yaml")
    apply.add_argument("--yes", action="store_true", help="propose each change")
    apply.add_argument("--reason", default="", help="why; needed with --yes")
    changes = add("changes", list_changes, "the proposals, newest first")
    changes.add_argument("--state", choices=["proposed", "approved", "rejected", "withdrawn"])
    for verdict in ("approve", "reject"):
        parser = add(verdict, decide_change, f"{verdict} a proposal of somebody else")
        parser.add_argument("change_id", metavar="CHANGE")
        parser.add_argument("--reason", required=True)
        parser.set_defaults(verdict=verdict)
    withdraw = add("withdraw", withdraw_change, "take a proposal of yours back")
    withdraw.add_argument("change_id", metavar="CHANGE")
    withdraw.add_argument("--reason", required=True)
    diff = add("diff", diff_command, "what two versions of a policy differ in")
    diff.add_argument("name")
    diff.add_argument("before", type=int)
    diff.add_argument("after", type=int)
    test = add("test", test_command, "what a policy would say of a model version, with the evidence there is")
    test.add_argument(
        "policy", metavar="FILE|NAME@N", help="a policy file, or a version of one that is there"
    )
    test.add_argument("name", help="of the model")
    test.add_argument("version", type=int)
    acknowledge = add("acknowledge", acknowledge_command, "say that you know a version of a policy")
    acknowledge.add_argument("policy", metavar="NAME@N")

    signoff = commands.add_parser("signoff", help="ask somebody outside to sign off").add_subparsers(
        metavar="invite", required=True
    )
    invite = signoff.add_parser(
        "invite", parents=[common], help="make a link that works once; it is shown once"
    )
    invite.add_argument("promotion_id", metavar="PROMOTION")
    invite.add_argument("--role", default="customer", choices=["customer", "business_owner"])
    invite.add_argument("--name", required=True)
    invite.add_argument("--email", required=True)
    invite.add_argument("--hours", type=int, default=168)
    invite.set_defaults(command=invite_command)


def policy_files(path: str) -> list[Path]:
    """The file itself, or the *.yaml and *.yml of a folder in the order of their names."""
    place = Path(path)
    try:
        if not place.is_dir():
            return [place]
        found = sorted(
            item for item in place.iterdir() if item.suffix in (".yaml", ".yml") and item.is_file()
        )
    except OSError as error:
        raise unreadable(place, error) from error
    if not found:
        raise Usage(f"There is no policy (*.yaml) in {place}.", code="no_policies")
    return found


def commit_of(path: Path) -> str:
    """The commit of the checkout, with -dirty where the files differ from it; empty if it is none, or without Git."""
    folder = path if path.is_dir() else path.parent
    try:
        head = _git(folder, "rev-parse", "--verify", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "--", str(path.resolve())).strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}-dirty" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return ran.stdout


def apply_policies(context: Context) -> int:
    """The plan first, always; exit code 1 if a file is no policy: then nothing is proposed, of none of them."""
    options, console, crivo = context.options, context.console, context.server()
    if options.yes and not options.reason.strip():
        raise Usage("Say why: --reason.", code="reason_missing")
    texts = {path: text_of(str(path)) for path in policy_files(options.path)}
    plan = crivo.plan_policies({str(path): text for path, text in texts.items()})
    show_plan(console, plan)
    if any(file["status"] == "invalid" for file in plan.files):
        console.document(plan.raw)
        return REFUSED
    wanted = {file["path"] for file in plan.files if file["status"] in ("new", "changed")}
    if not options.yes:
        console.document(plan.raw)
        if wanted:
            console.say("\nNothing was proposed. With --yes --reason … each change is.")
        return OK
    commit = commit_of(Path(options.path))
    proposed = []
    for path, text in texts.items():
        if str(path) not in wanted:
            continue
        try:
            change = crivo.propose_policy(text, reason=options.reason, commit=commit)
        except Refused as refusal:
            refusal.detail = f"{path.name}: {refusal.detail}"
            raise
        proposed.append(change)
        console.say(
            f"{plain(change.name)}: {'proposed' if change.created else 'was proposed already'}, {plain(change.id)}"
        )
    console.document({"plan": plan.raw, "proposed": [change.raw for change in proposed]})
    if proposed:
        console.say("Somebody else has to approve: crivo policy approve CHANGE --reason …")
    return OK


def show_plan(console: Console, plan: PolicyPlan) -> None:
    for file in plan.files:
        current = f" (version {file['current']} is current)" if file["current"] else ""
        console.say(f"{file['status']:<10} {plain(file['name'] or file['path'])}{current}")
        if file["problem"]:
            console.say(f"    {plain(file['problem']['text'])}")
        _show_changes(console, file["changes"])
    for name in plan.elsewhere:
        console.say(f"{'elsewhere':<10} {plain(name)} (current there, in none of these files; stays)")


def _show_changes(console: Console, changes: list[dict[str, Any]]) -> None:
    for line in changes:
        console.say(f"    {MARKS.get(line['direction'], '~')} {plain(line['text'])}")


def list_changes(context: Context) -> int:
    found = context.server().policy_changes(state=context.options.state)
    context.console.document([change.raw for change in found])
    context.console.table(
        ("policy", "state", "change"), [(change.name, change.state, change.id) for change in found]
    )
    return OK


def decide_change(context: Context) -> int:
    """What is decided on is what is shown: the change is read, and its digest sent along."""
    options, crivo = context.options, context.server()
    change = crivo.policy_change(options.change_id)
    _show(context.console, change)
    done = crivo.decide_policy_change(change.id, options.verdict, reason=options.reason, digest=change.digest)
    context.console.document(done.raw)
    context.console.say(f"{plain(done.name)}: {plain(done.state)}")
    return OK


def withdraw_change(context: Context) -> int:
    done = context.server().withdraw_policy_change(context.options.change_id, reason=context.options.reason)
    context.console.document(done.raw)
    context.console.say(f"{plain(done.name)}: {plain(done.state)}")
    return OK


def _show(console: Console, change: PolicyChange) -> None:
    console.say(f"{plain(change.name)} {plain(change.digest)}")
    _show_changes(console, change.changes)


def diff_command(context: Context) -> int:
    options = context.options
    found = context.server().policy_diff(options.name, options.before, options.after)
    context.console.document(found)
    _show_changes(context.console, found["changes"])
    if found["text"]:
        context.console.say()
        for line in found["text"].splitlines():
            context.console.say(plain(line))
    return OK


def test_command(context: Context) -> int:
    """0: every requirement would be met; 1: not, or not yet."""
    options, crivo = context.options, context.server()
    found = crivo.test_policy(options.name, options.version, **_source(options.policy))
    context.console.document(found)
    if not found["applies"]:
        context.console.say("This policy is not meant for the use case of this model.")
    if not found["format_accepted"]:
        context.console.say("This policy does not accept the format of this model file.")
    if not found.get("lock_accepted", True):
        context.console.say("This policy asks for the environment lock of the version: crivo lock keeps it.")
    for line in found["requirements"]:
        of = f" of {line['attribute']}" if line["attribute"] else ""
        context.console.say(
            f"{line['verdict']:<12} {plain(line['check'])} {plain(line['metric'] + of)}: "
            f"{plain(line['reason']['text'])}"
        )
    return OK if found["passed"] else REFUSED


def _source(text: str) -> dict[str, Any]:
    name, _, n = text.rpartition("@")
    if name and n.isdecimal() and not Path(text).exists():
        return {"policy": name, "policy_version": int(n)}
    return {"text": text_of(text)}


def acknowledge_command(context: Context) -> int:
    name, _, n = context.options.policy.rpartition("@")
    if not name or not n.isdecimal():
        raise Usage("crivo policy acknowledge NAME@N", code="name_malformed")
    found = context.server().acknowledge_policy(name, int(n))
    context.console.document(found)
    context.console.say(f"You have acknowledged {plain(name)}@{n}.")
    return OK


def invite_command(context: Context) -> int:
    options = context.options
    crivo: Crivo = context.server()
    found = crivo.invite_signoff(
        options.promotion_id, role=options.role, name=options.name, email=options.email, hours=options.hours
    )
    context.console.document(found)
    context.console.say(f"Send this link to {plain(options.name)}; it works once and is not shown again:")
    context.console.say(plain(str(found["url"])))
    return OK
