"""Writing events like services do, and writing past them like somebody who owns the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction

from audits.actors import Command, SubjectRef, system_actor
from audits.ids import uuid7
from audits.ledger import nodes
from audits.ledger.entry import body_of
from audits.ledger.note import Checkpoint, verify_checkpoint
from audits.ledger.publication import Publication
from audits.ledger.record import record
from audits.ledger.signing import attestation_key, checkpoint_key, jwks
from audits.ledger.verification import LedgerReport, verify_ledger
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, Leaf, Workspace

VERB = "dataset.registered"


def write_keys() -> None:
    signer = checkpoint_key()
    Publication(signer.vkey).publish_keys(jwks(attestation_key()))


def workspace(name: str = "default") -> Workspace:
    return Workspace.objects.get_or_create(name=name)[0]


def write(
    count: int = 1, subject: SubjectRef | None = None, workspace_id: UUID | None = None, **more: Any
) -> list[Event]:
    """So many events, each committed by itself; each about a new subject unless one is given."""
    place = workspace_id or workspace().id
    written = []
    for _ in range(count):
        with transaction.atomic():
            ref = subject or SubjectRef("dataset", uuid7(), "patients")
            written.append(record(Command(system_actor("shell", place)), verb=VERB, subject=ref, **more))
    return written


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """Run `work` with a database connection of its own; the caller joins."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def past_crivo(*statements: str, parameters: tuple[Any, ...] = ()) -> None:
    """What the owner of the tables can do: triggers off, foreign keys away, write anything, put everything back."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
            "AND tgrelid::regclass::text LIKE 'audits_%%'"
        )
        triggers = cursor.fetchall()
        cursor.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'f' AND conrelid::regclass::text LIKE 'audits_%%'"
        )
        keys = cursor.fetchall()
    with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
        for table, name in triggers:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        for table, name, _ in keys:
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        for statement in statements:
            cursor.execute(statement, parameters or None)
            assert cursor.rowcount != 0, f"this changed nothing: {statement}"
        for table, name, definition in keys:
            definition = definition.removesuffix(" NOT VALID")
            cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition} NOT VALID')
        for table, name in triggers:
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def verified(*kept: bytes) -> LedgerReport:
    """The ledger verified against what is published, and against copies somebody kept."""
    notes = [path.read_bytes() for path in [Path(settings.CRIVO_PUBLISH) / "checkpoint"] if path.exists()]
    return verify_ledger(checkpoint_key().vkey, *notes, *kept)


def codes(report: LedgerReport) -> set[str]:
    return {finding.code for finding in report.findings}


def sequenced() -> list[UUID]:
    return list(Leaf.objects.order_by("index").values_list("event_id", flat=True))


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as written there."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def entries() -> list[bytes]:
    leaves = Leaf.objects.order_by("index").select_related("event__workspace")
    return [body_of(leaf.event, leaf.event.workspace.salt).envelope for leaf in leaves]


def signed(path: Path) -> Checkpoint:
    return verify_checkpoint(path.read_bytes(), checkpoint_key().vkey)


def everything_is_in_order(count: int) -> None:
    """Every event is a leaf exactly once, all of it is published, and every checkpoint ever signed still holds."""
    assert sorted(sequenced()) == sorted(Event.objects.values_list("id", flat=True))
    assert Leaf.objects.count() == count
    folder = Path(settings.CRIVO_PUBLISH)
    assert signed(folder / "checkpoint").size == count
    sizes = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())
    assert sizes == list(PublishedCheckpoint.objects.order_by("size").values_list("size", flat=True))
    for size in sizes:
        assert signed(folder / "checkpoints" / str(size)).root == nodes.stored_root(size)
    report = verified()
    assert report.verified, report.findings
