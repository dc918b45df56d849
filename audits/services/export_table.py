"""Exports for people: a row per event with its sentence, in the order of the log. CSV (RFC 4180) or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F

from audits import messages, sealing, trail, verbs
from audits.ledger.note import VerifierKey
from audits.models import AuditExport, Event
from audits.services.export_bundle import Told
from audits.services.export_work import Work
from audits.states import ExportForm
from audits.trail import EXPORTED, TrailQuery
from audits.verifier import sampled, verify_checkpoint

CHUNK = 2_000  # places in the log at once
SAVED = 10
COLUMNS = (
    "index", "at", "sentence", "outcome", "reason", "words", "actor", "actor_kind", "actor_id", "on_behalf_of", "verb",
    "subject", "subject_kind", "subject_id", "subject_digest", "subject_seq", "policy", "evidence", "before", "after",
    "request_id", "correlation_id", "event_id",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula, and runs it (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def make(
    export: AuditExport,
    work: Work,
    note: bytes,
    vkey: str,
    stated: dict[str, Any],
    tell: Callable[[int], None],
) -> dict[str, Any]:
    """Fill the folder of `work`: events.csv or events.jsonl, and about.json. What is in the latter is returned."""
    log = verify_checkpoint(note, VerifierKey.parse(vkey))
    wanted = TrailQuery.parse(export.query, EXPORTED)
    progress, told = work.progress, Told(export, log.size)
    write, name = (_csv, "events.csv") if export.form == ExportForm.CSV else (_jsonl, "events.jsonl")
    with work.growing(name) as file:
        if progress.length == 0 and export.form == ExportForm.CSV:
            file.write("﻿".encode() + _csv(dict(zip(COLUMNS, COLUMNS, strict=True))))
        for number, start in enumerate(range(progress.start, log.size, CHUNK), 1):
            stop = min(start + CHUNK, log.size)
            for row in _rows(export, wanted, start, stop):
                file.write(write(row))
                progress.counts[row["verb"]] += 1
            progress.start = stop
            tell(stop)
            if number % SAVED == 0:
                work.save(file)
    told.agrees(told.total)
    about = {
        "counts": dict(sorted(progress.counts.items())),
        "heads": progress.counts.total(),
        "log": {"origin": log.origin, "size": log.size, "root": log.root.hex()},
        "matches": progress.counts.total(),
        "stated": {**stated, **told.stated},
    }
    (work.folder / "about.json").write_text(
        json.dumps(about, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    )
    return about


def _rows(export: AuditExport, wanted: TrailQuery, start: int, stop: int) -> Iterator[dict[str, Any]]:
    events = Event.objects.filter(workspace=export.workspace_id, leaf__index__gte=start, leaf__index__lt=stop)
    found = list(
        wanted.apply(events, export.workspace_id).annotate(place=F("leaf__index")).order_by("leaf__index")
    )
    if wanted.sample is not None:
        found = [event for event in found if sampled(*wanted.sample, event.place)]
    names = trail.names_of(export.workspace_id, {event.actor_id for event in found})
    words = sealing.texts_of([event.id for event in found if event.texts])
    zone = ZoneInfo(export.time_zone)
    for event in found:
        yield _row(event, names.get(event.actor_id, event.actor_kind), words, zone)


def _row(event: Any, actor: str, words: dict[Any, str], zone: ZoneInfo) -> dict[str, Any]:
    at: datetime = event.at.astimezone(zone)
    return {
        "index": event.place,
        "at": at.isoformat(timespec="microseconds"),
        "sentence": verbs.sentence(event.verb, actor, event.subject_label or event.subject_kind),
        "outcome": event.outcome,
        "reason": messages.render(event.reason),
        "words": {name: words[event.id, name] for name in sorted(event.texts) if (event.id, name) in words},
        "actor": actor,
        "actor_kind": event.actor_kind,
        "actor_id": str(event.actor_id),
        "on_behalf_of": str(event.on_behalf_of or ""),
        "verb": event.verb,
        "subject": event.subject_label,
        "subject_kind": event.subject_kind,
        "subject_id": str(event.subject_id),
        "subject_digest": event.subject_digest,
        "subject_seq": event.subject_seq,
        "policy": event.policy,
        "evidence": event.evidence,
        "before": event.before,
        "after": event.after,
        "request_id": str(event.request_id),
        "correlation_id": str(event.correlation_id),
        "event_id": str(event.id),
    }


def _jsonl(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def cell(value: Any) -> str:
    """As text, never as a formula."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv(row: dict[str, Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow([cell(row[name]) for name in COLUMNS])
    return out.getvalue().encode()
