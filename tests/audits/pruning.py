"""An old decision log, exported and pruned: what the tests of pruning start from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from audits.actors import Command, SubjectRef, system_actor
from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from audits.models import AuditExport, Event
from audits.services.pruning import prune_log
from audits.verifier import Report, verify_export
from tests.audits.test_exports import ask, made, unpacked, vkey
from tests.cast import Cast

COLUMNS = "event_id, workspace_id, subject_kind, subject_id, subject_seq, at, pruning, envelope"
RUN, DATASET = "check_run.completed", "dataset.registered"


def keep(years: int) -> None:
    """As the owner of the table."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute("UPDATE audits_retention_period SET years = %s", [years])


@pytest.fixture
def nothing_is_too_young(transactional_db: None) -> Iterator[None]:
    keep(0)
    yield
    keep(10)


@pytest.fixture
def cast(committed_cast: Cast, nothing_is_too_young: None) -> Cast:
    return committed_cast


def runs(cast: Cast, count: int, subject: SubjectRef | None = None, **more: Any) -> list[Event]:
    """Events of the decision log."""
    told = []
    for _ in range(count):
        ref = subject or SubjectRef("check_run", uuid7(), "quality · patients@1")
        with transaction.atomic():
            told.append(recorded(cast, RUN, ref, **more))
    return told


def recorded(cast: Cast, verb: str, subject: SubjectRef, **more: Any) -> Event:
    from audits.ledger.record import record

    return record(Command(system_actor("worker", cast.workspace.id)), verb=verb, subject=subject, **more)


def exported(cast: Cast, notary: Notary) -> AuditExport:
    """A verifiable export of everything so far, and its own events in a published checkpoint."""
    notary.run_pass()
    export = made(ask(cast))
    assert export.state == "done", export.error
    notary.run_pass()
    return export


def shell(cast: Cast) -> Command:
    return Command(system_actor("shell", cast.workspace.id))


def prune(cast: Cast, export: AuditExport, before: datetime | None = None, **more: Any) -> Event:
    return prune_log(
        command=more.pop("command", None) or shell(cast),
        export_id=export.id,
        before=before or timezone.now(),
        reason=more.pop("reason", "ten years have passed"),
    ).value


def verify(export: AuditExport, folder: Path) -> Report:
    return verify_export(unpacked(export, folder), vkey())


def log_key() -> Any:
    return checkpoint_key().vkey
