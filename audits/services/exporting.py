"""Make one export: stream the log into a folder of tiles and events, the folder into a tar, the tar into the store.

Memory: one chunk of events and one row of tiles, whatever the size of the log. Called by the worker only.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import Message
from audits.errors import Conflict
from audits.ledger.body import timestamp
from audits.ledger.entry import body_of
from audits.ledger.note import VerifierKey
from audits.ledger.receipts import EntryDamaged
from audits.ledger.tiles import Disclosure, write_export
from audits.ledger.tree import leaf_hash
from audits.models import AuditExport, Checkpoint, Event, EventText, Leaf, Workspace
from audits.sealing import Opened, opened
from audits.services.exports import MAX_ATTEMPTS, claim, complete_export, fail_export, renew
from audits.trail import TrailQuery

CHUNK = 1_000
RENEW_SECONDS = 10.0
NO_CAP = 1 << 62


def run_export(export_id: UUID) -> AuditExport | None:
    """The finished export, or None if it was not ours to make."""
    export = claim(export_id)
    if export is None:
        return None
    command = Command(system_actor("worker", export.workspace_id))
    ours: dict[str, Any] = {"command": command, "export_id": export.id, "fence": export.fence}
    try:
        if export.attempts > MAX_ATTEMPTS:
            why = Message("export_killed_workers", {"attempts": export.attempts - 1})
            return fail_export(**ours, why=why).value
        newest = Checkpoint.objects.order_by("-size").first()
        if newest is None:
            return fail_export(**ours, why=Message("nothing_published")).value
        try:
            stored, manifest = _made(export, newest)
        except EntryDamaged as damaged:
            return fail_export(**ours, why=damaged.message).value
        except ValueError:
            return fail_export(**ours, why=Message("ledger_diverged")).value
        return complete_export(**ours, stored=stored, manifest=manifest).value
    except Conflict:
        return None


def published_vkey() -> str:
    return str(VerifierKey.parse((Path(settings.CRIVO_PUBLISH) / "vkey").read_text().strip()))


def _made(export: AuditExport, newest: Checkpoint) -> tuple[blobs.Stored, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="crivo-export-") as scratch:
        folder = Path(scratch) / "export"
        workspace = export.workspace
        manifest = write_export(
            folder,
            checkpoint=newest.note.encode(),
            vkey=published_vkey(),
            events=_log(workspace),
            scope={"kind": "workspace", "id": str(workspace.id), "salt": workspace.salt},
            filter=TrailQuery.parse(export.query).as_filter(),
            stated={
                "export": str(export.id),
                "workspace": workspace.name,
                "query": export.query,
                "requested_by": str(export.requested_by),
                "requested_at": timestamp(export.queued_at),
                "time_zone": "UTC",
            },
            progress=_Progress(export),
        )
        archive = Path(scratch) / "export.tar"
        pack(folder, archive)
        with archive.open("rb") as stream:
            return blobs.store(export.workspace_id, stream, cap=NO_CAP), manifest


class _Progress:
    def __init__(self, export: AuditExport) -> None:
        self.export, self.told = export, time.monotonic()

    def __call__(self, done: int) -> None:
        if time.monotonic() - self.told > RENEW_SECONDS:
            renew(self.export, done)
            self.told = time.monotonic()


def _log(workspace: Workspace) -> Iterator[tuple[bytes, Disclosure | None]]:
    """Every envelope of the log in order, with what may be disclosed: everything of `workspace`, nothing of others."""
    salts = dict(Workspace.objects.values_list("id", "salt"))
    written = Prefetch("written", EventText.objects.order_by("name"))
    start = 0
    # By key, not by cursor: no transaction stays open for as long as the export takes; rows never change.
    while leaves := list(Leaf.objects.filter(index__gte=start, index__lt=start + CHUNK).order_by("index")):
        events = Event.objects.prefetch_related(written).in_bulk([leaf.event_id for leaf in leaves])
        texts = opened(text for event in events.values() for text in event.written.all())
        for leaf in leaves:
            event = events.get(leaf.event_id)
            if event is None:
                raise EntryDamaged.at(leaf.index, leaf.event_id)
            salt, disclosed = salts.get(event.workspace_id, ""), event.workspace_id == workspace.id
            yield _entry(leaf, event, salt, texts, disclosed)
        start += CHUNK


def _entry(
    leaf: Leaf, event: Event, salt: str, texts: dict[tuple[UUID, str], Opened], disclosed: bool
) -> tuple[bytes, Disclosure | None]:
    try:
        body = body_of(event, salt)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EntryDamaged.at(leaf.index, event.id) from error
    if leaf_hash(body.envelope) != bytes(leaf.hash):
        raise EntryDamaged.at(leaf.index, event.id)
    if not disclosed:
        return body.envelope, None
    return body.envelope, Disclosure(
        head=body.head,
        head_salt=bytes.fromhex(event.head_salt),
        subject_salt=bytes.fromhex(event.subject_salt),
        workspace_salt=bytes.fromhex(salt),
        rest=body.rest,
        rest_salt=bytes.fromhex(event.rest_salt),
        # What was erased is left out: its commitment stays in the rest.
        texts={
            name: (found.text, found.salt)
            for name in event.texts
            if (found := texts.get((event.id, name))) is not None
        },
    )


def pack(folder: Path, archive: Path) -> None:
    """The folder's files as a tar, members named from the folder on; the same files give the same bytes."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)
            tar.members.clear()  # type: ignore[attr-defined]  # else the archive keeps every member in memory
