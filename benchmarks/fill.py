"""Many events at once: the rows `record` would have written, made with the same functions, but sent by COPY."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audits.actors import system_actor
from audits.ids import uuid7
from audits.ledger import nodes
from audits.ledger.body import entry_digest
from audits.ledger.entry import body_of
from audits.ledger.record import mac_of
from audits.ledger.tree import CompactTree, leaf_hash
from audits.models import Event, Workspace
from audits.roles import acting_as_notary

CHUNK = 10_000
VERBS = (
    "dataset.registered",
    "model.registered",
    "promotion.requested",
    "promotion.granted",
    "check_run.completed",
)
DIGEST = "sha256:" + "ab" * 32
COLUMNS = [field.attname for field in Event._meta.concrete_fields]


def fill(count: int, workspace: Workspace, subjects: int = 1_000) -> None:
    """Append `count` events about that many subjects, with their leaves. The log must not be in use."""
    heads: dict[int, tuple[UUID, str, int, str]] = {}
    tree, left = nodes.load_tree(nodes.stored_size()), count
    events = _events(workspace, subjects, heads)
    while left:
        chunk = [next(events) for _ in range(min(CHUNK, left))]
        left -= len(chunk)
        rows = io.StringIO(
            "".join("\t".join(_cell(getattr(event, name)) for name in COLUMNS) + "\n" for event, _ in chunk)
        )
        with acting_as_notary(), transaction.atomic(), connection.cursor() as cursor:
            cursor.copy_expert(f"COPY audits_event ({', '.join(COLUMNS)}) FROM STDIN", rows)
            nodes.append([event.id for event, _ in chunk], _grown(tree, [entry for _, entry in chunk]))
    lines = "".join(
        f"dataset\t{subject}\t{workspace.id}\t{seq}\t{digest}\t{salt}\t{DIGEST}\n"
        for subject, salt, seq, digest in heads.values()
    )
    with connection.cursor() as cursor:
        cursor.copy_expert(
            "COPY audits_subject_head (kind, subject_id, workspace_id, seq, digest, salt, state) FROM STDIN",
            io.StringIO(lines),
        )


def _grown(tree: CompactTree, entries: list[bytes]) -> Iterator[Any]:
    for entry in entries:
        yield from tree.append(leaf_hash(entry))


def _events(
    workspace: Workspace, subjects: int, heads: dict[int, tuple[UUID, str, int, str]]
) -> Iterator[tuple[Event, bytes]]:
    actors = [system_actor(name, workspace.id).id for name in ("shell", "worker")]
    at, number = datetime.now(UTC) - timedelta(days=900), 0
    while True:
        who = number % subjects
        subject, salt, seq, digest = heads.get(who) or (uuid7(), secrets.token_hex(16), 0, "")
        request = uuid7()
        event = Event(
            id=uuid7(), at=at + timedelta(seconds=number), workspace_id=workspace.id, actor_kind="system",
            actor_id=actors[number % 2], verb=VERBS[number % 5], subject_kind="dataset", subject_id=subject,
            subject_label=f"patients-{who}@{seq + 1}", subject_digest=DIGEST, subject_seq=seq + 1,
            outcome="refused" if number % 17 == 0 else "done",
            reason={"code": "not_found", "params": {"kind": "dataset", "name": "x"}} if number % 17 == 0 else None,
            policy={"id": "credit", "version": 3, "digest": DIGEST} if number % 3 == 0 else None,
            evidence=[{"kind": "dossier", "digest": DIGEST}] if number % 3 == 0 else [],
            before=DIGEST if seq else "", after=DIGEST,
            detail={"environment": "production", "rows": number, "ratio": number / 7} if number % 2 else {},
            request_id=request, correlation_id=request, previous=digest, subject_salt=salt,
            head_salt=secrets.token_hex(16), rest_salt=secrets.token_hex(16),
        )  # fmt: skip
        entry = body_of(event, workspace.salt).envelope
        event.mac = mac_of(entry)
        heads[who] = subject, salt, seq + 1, entry_digest(entry)
        number += 1
        yield event, entry


def _cell(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, dict | list):
        value = json.dumps(value)
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
