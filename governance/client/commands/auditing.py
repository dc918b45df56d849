"""The trail: search it, export it, verify an export."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from governance.client.commands.common import OK, PENDING, REFUSED, Context
from governance.client.console import plain
from governance.client.errors import Reason, Unreachable, Usage
from governance.client.unpack import prepared, unpack, unzipped
from governance.client.verifying import load_verifier


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    whoami = commands.add_parser("whoami", parents=[common], help="who this token stands for")
    whoami.set_defaults(command=whoami_command)

    audit = commands.add_parser("audit", help="the audit trail").add_subparsers(
        metavar="export|events|state", required=True
    )
    search = _search()
    export = audit.add_parser(
        "export", parents=[common, search], help="fetch a verifiable export into a new folder"
    )
    export.add_argument("folder", metavar="DIR")
    export.add_argument(
        "--form",
        choices=["bundle", "csv", "jsonl"],
        default="bundle",
        help="bundle can be verified; csv and jsonl are for reading",
    )
    export.add_argument("--language", choices=["en", "pt-br"], help="of the sentences in csv and jsonl")
    export.add_argument("--time-zone", metavar="ZONE", help="of the times, e.g. America/Sao_Paulo")
    export.add_argument("--sample", type=int, metavar="N", help="take about N in a million, at random")
    export.add_argument("--seed", help="with --sample: the same seed takes the same events")
    export.add_argument("--timeout", type=float, default=600.0, metavar="S")
    export.set_defaults(command=export_command)
    events = audit.add_parser("events", parents=[common, search], help="the newest events, newest first")
    events.add_argument("--limit", type=int, default=20)
    events.set_defaults(command=events_command)

    state = audit.add_parser(
        "state",
        parents=[common],
        help="what was known then, which policy applied, who held which role, what the gate answered",
    )
    state.add_argument("subject", metavar="SUBJECT", help="a model version as name@n, or kind:id")
    state.add_argument(
        "--at",
        metavar="DATE",
        help="e.g. 2026-01-31T12:00:00Z, or a date, which means its end (UTC); default now",
    )
    state.set_defaults(command=state_command)

    verify = commands.add_parser("verify", parents=[common], help="verify an export offline")
    verify.add_argument("folder", metavar="DIR", help="an export, or a receipt (.tlog-proof)")
    verify.add_argument("--vkey", help="the log's key, or a file that holds it; not the one in the export")
    verify.add_argument("--previous", metavar="CHECKPOINT", help="an earlier checkpoint that you have kept")
    verify.set_defaults(command=verify_command)


FILTERS = (
    "verb",
    "outcome",
    "actor",
    "subject_kind",
    "subject_id",
    "request_id",
    "correlation_id",
    "from",
    "to",
    "q",
)


def _search() -> argparse.ArgumentParser:
    """Which events: the same for searching and exporting."""
    search = argparse.ArgumentParser(add_help=False)
    which = search.add_argument_group("which events (default: all)")
    which.add_argument("--verb", action="append", help="e.g. promotion.refused; may be repeated")
    which.add_argument("--outcome", choices=["done", "refused"])
    which.add_argument(
        "--since", "--from", dest="from", metavar="TIME", help="from then on, e.g. 2026-01-31T00:00:00Z"
    )
    which.add_argument("--until", "--to", dest="to", metavar="TIME", help="before then")
    which.add_argument("--actor", metavar="ID", help="of who acted")
    which.add_argument("--subject", metavar="KIND:ID", help="what was acted on, as the trail has it")
    which.add_argument("--subject-kind", metavar="KIND", help="e.g. promotion")
    which.add_argument("--subject-id", metavar="ID", help="of what was acted on")
    which.add_argument("--request", "--request-id", dest="request_id", metavar="ID", help="of one request")
    which.add_argument(
        "--correlation",
        "--correlation-id",
        dest="correlation_id",
        metavar="ID",
        help="of everything one request led to",
    )
    which.add_argument(
        "--text",
        "--q",
        dest="q",
        metavar="WORDS",
        help="that all occur in the sentence, or in what people wrote",
    )
    return search


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    """The filter as the server has it. Usage where --subject is no kind:id, or says what another option says."""
    wanted = {name: getattr(options, name) for name in FILTERS if getattr(options, name) is not None}
    if options.subject is None:
        return wanted
    kind, separator, subject = options.subject.partition(":")
    if not (kind and separator and subject):
        raise Usage(f"--subject is kind:id, not {plain(options.subject)}.", code="subject_unknown")
    if {"subject_kind", "subject_id"} & set(wanted):
        raise Usage("--subject says it all: leave --subject-kind and --subject-id out.", code="subject_twice")
    return {**wanted, "subject_kind": kind, "subject_id": subject}


def whoami_command(context: Context) -> int:
    me, console = context.server().whoami(), context.console
    console.document(me.raw)
    console.fields(
        [
            ("you are", f"{me.kind} {me.id}"),
            ("workspace", me.workspace),
            ("roles", ", ".join(map(str, me.roles)) or "none"),
            ("scopes", "unrestricted" if me.scopes is None else ", ".join(map(str, me.scopes)) or "none"),
        ]
    )
    return OK


def export_command(context: Context) -> int:
    options, console = context.options, context.console
    wanted = _wanted(options)
    if options.sample is not None:
        wanted["sample"] = {"per_million": options.sample, **({"seed": options.seed} if options.seed else {})}
    elif options.seed:
        raise Usage("--seed goes with --sample.", code="seed_without_sample")
    target = prepared(Path(options.folder))
    crivo = context.server()
    export = crivo.start_export(
        wanted, form=options.form, language=options.language, time_zone=options.time_zone
    )
    export = crivo.wait_for_export(
        export.id, seconds=options.timeout, progress=console.progress("export", unit="entries", scale=1)
    )
    if not export.finished:
        console.document(export.raw)
        console.say(f"The export {plain(export.id)} is still {plain(export.state)}. Try again later.")
        return PENDING
    if export.state == "failed":
        raise Unreachable(
            f"The export {plain(export.id)} failed on the server: {_why(export.raw)}", code="export_failed"
        )
    with tempfile.TemporaryFile() as archive:
        crivo.download_export(export.id, archive)
        files = unpack(archive, target) if options.form == "bundle" else unzipped(archive, target)
    console.document({**export.raw, "folder": str(target), "files": files})
    console.say(f"export of {files:,} files in {target}")
    if export.matches is not None:
        console.say(f"{export.matches:,} events, from a log of {export.log_size or 0:,} entries")
    for verb, count in sorted(export.counts.items()):
        console.say(f"  {count:>9,}  {plain(verb)}")
    if "sample" in export.filter:
        console.say(f"a sample; take it again with --seed {plain(export.filter['sample'].get('seed', ''))}")
    if options.form == "bundle":
        console.say(f"Verify it with: crivo verify {options.folder} --vkey KEY")
    return OK


def _why(data: dict[str, Any]) -> str:
    reason = data.get("reason") or data.get("error")
    text = reason.get("text") if isinstance(reason, dict) else reason
    return plain(text or "it does not say why; its log does.")


def events_command(context: Context) -> int:
    options, console = context.options, context.console
    if options.limit < 1:
        raise Usage("--limit is a number from 1.")
    pruned: list[Reason] = []
    found = context.server().events(limit=options.limit, pruned=pruned, **_wanted(options))
    console.document(found)
    for event in found:
        index = event.get("index")
        console.say(
            f"  {plain(event.get('at', ''))[:19]}  {'–' if index is None else index:>6}  "
            f"{plain(event.get('outcome', '')):<8} {plain(event.get('sentence') or event.get('verb', ''))}"
        )
    if not found:
        console.say("No events that you may see.")
    if len(found) < options.limit:
        for note in pruned:
            console.say(plain(note.text))
    return OK


def state_command(context: Context) -> int:
    options, console = context.options, context.console
    found = context.server().state(options.subject, at=options.at)
    console.document(found)
    subject = found["subject"]
    console.fields(
        [
            ("subject", subject.get("label") or f"{subject['kind']} {subject['id']}"),
            ("at", found["at"]),
            ("state", found.get("state") or "–"),
            ("events by then", f"{found['count']:,} (the log had {found['log_size']:,} entries)"),
        ]
    )
    for title, lines in (
        ("the gate", [f"{row['environment']}: {_answer(row)}" for row in found["gate"]]),
        ("policies", [f"{row['environment']}: {_policy(row)}" for row in found["policies"]]),
        ("roles", [f"{row['role']}: {row['name']} (since {row['since'][:19]})" for row in found["roles"]]),
        ("events", [f"{row['at'][:19]}  {row['outcome']:<8} {row['sentence']}" for row in found["events"]]),
    ):
        console.say(f"{title}:")
        for line in lines or ["–"]:
            console.say(f"  {plain(line)}")
    for note in found.get("pruned", []):
        console.say(plain(note["text"]))
    return OK


def _answer(row: dict[str, Any]) -> str:
    return "allowed" if row["allowed"] else "no. " + " ".join(reason["text"] for reason in row["reasons"])


def _policy(row: dict[str, Any]) -> str:
    if row["policy"] is None:
        return str((row["reason"] or {}).get("text", "none"))
    return f"{row['policy']} (in force since {row['in_force_since'][:19]})"


def verify_command(context: Context) -> int:
    """The verifier's own exit codes are 0 verified, 1 tampered with, 2 unreadable: the same as here."""
    options, console = context.options, context.console
    verifier = load_verifier()
    if not console.as_json:
        given = [options.folder]
        for name in ("vkey", "previous"):
            if getattr(options, name) is not None:
                given += [f"--{name}", getattr(options, name)]
        return int(verifier.main(given))
    if Path(options.folder).is_file():
        raise Usage("--json is for exports; verify a receipt without it.")
    return _verify_as_json(context, verifier)


def _verify_as_json(context: Context, verifier: Any) -> int:
    options = context.options
    try:
        vkey = options.vkey
        if vkey is not None and Path(vkey).is_file():
            vkey = Path(vkey).read_text(encoding="utf-8").strip()
        previous = Path(options.previous).read_bytes() if options.previous else None
        report = verifier.verify_export(options.folder, vkey, previous)
    except (OSError, ValueError, RecursionError, MemoryError, verifier.UnreadableError) as error:
        raise Usage(f"{options.folder} cannot be read as an export: {error}", code="unreadable") from error
    context.console.document(
        {
            "verified": report.verified,
            "origin": report.origin,
            "size": report.size,
            "completeness": report.completeness,
            "heads": report.heads,
            "matches": report.matches,
            "counts": report.counts,
            "pruned": report.pruned,
            "pruned_to": report.pruned_to,
            "problems": [str(problem) for problem in report.problems],
        }
    )
    return OK if report.verified else REFUSED
