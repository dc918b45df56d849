"""Make one export: stream the log into a folder, the folder into one file, the file into the store.

Memory: one chunk of events and one row of tiles, whatever the size of the log. Called by the worker only.
"""

from __future__ import annotations

import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import translation

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import Message
from audits.errors import Conflict
from audits.ledger.body import timestamp
from audits.ledger.note import SignatureMismatchError, VerifierKey, verify_checkpoint
from audits.ledger.receipts import EntryDamaged
from audits.models import AuditExport, Checkpoint
from audits.services import export_bundle, export_table
from audits.services.export_bundle import PrunedMeanwhile
from audits.services.export_work import Work, work_for
from audits.services.exports import MAX_ATTEMPTS, claim, complete_export, fail_export, renew
from audits.states import ExportForm

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
            with work_for(export.id) as work:
                stored, manifest = _made(export, work, newest.note.encode())
        except (EntryDamaged, PrunedMeanwhile) as problem:
            return fail_export(**ours, why=problem.message).value
        except (ValueError, SignatureMismatchError):
            return fail_export(**ours, why=Message("ledger_diverged")).value
        return complete_export(**ours, stored=stored, manifest=manifest).value
    except Conflict:
        return None


def published_vkey() -> str:
    return str(VerifierKey.parse((Path(settings.CRIVO_PUBLISH) / "vkey").read_text().strip()))


def _made(export: AuditExport, work: Work, newest: bytes) -> tuple[blobs.Stored, dict[str, Any]]:
    note, vkey = work.against(newest, published_vkey())
    stated = {
        "export": str(export.id),
        "form": export.form,
        "language": export.language,
        "query": export.query,
        "requested_at": timestamp(export.queued_at),
        "requested_by": str(export.requested_by),
        "time_zone": export.time_zone,
        "workspace": export.workspace.name,
    }
    tell = _Told(export, verify_checkpoint(note, VerifierKey.parse(vkey)).size)
    with translation.override(export.language):
        if export.form == ExportForm.BUNDLE:
            manifest = export_bundle.make(export, work, note, vkey, stated, tell)
        else:
            manifest = export_table.make(export, work, note, vkey, stated, tell)
    archive = work.root / "archive"
    (pack if export.form == ExportForm.BUNDLE else zipped)(work.folder, archive)
    with archive.open("rb") as stream:
        return blobs.store(export.workspace_id, stream, cap=NO_CAP), manifest


class _Told:
    """Progress, told after the first chunk and then every ten seconds, and the lease kept with it."""

    def __init__(self, export: AuditExport, size: int) -> None:
        self.export, self.size, self.told = export, size, float("-inf")

    def __call__(self, done: int) -> None:
        if time.monotonic() - self.told > RENEW_SECONDS:
            renew(self.export, done, self.size)
            self.told = time.monotonic()


def pack(folder: Path, archive: Path) -> None:
    """The folder's files as a tar, members named from the folder on; the same files give the same bytes."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)
            tar.members.clear()  # type: ignore[attr-defined]  # else the archive keeps every member in memory


def zipped(folder: Path, archive: Path) -> None:
    """The folder's files as a zip, which every desk opens; the same files give the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as whole:
        for path in sorted(folder.iterdir()):
            member = zipfile.ZipInfo(path.name)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as stream, whole.open(member, "w", force_zip64=True) as target:
                while chunk := stream.read(blobs.CHUNK):
                    target.write(chunk)
