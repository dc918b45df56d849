"""Pruning: who may not, and everything that must not go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audits import blobs
from audits.actors import Command, SubjectRef, system_actor
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.models import Event, PrunedEvent, RetentionPeriod
from audits.services import erasure
from audits.services.pruning import prune_log
from tests.audits.pruning import RUN, exported, keep, prune, runs, shell
from tests.audits.pruning import cast as cast
from tests.audits.pruning import nothing_is_too_young as nothing_is_too_young
from tests.audits.test_exports import ask, made
from tests.audits.trail import past_crivo
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.mark.parametrize("name", ["ana", "bruno", "bia", "clara", "rita", "davi", "pipeline"])
def test_who_may_not(cast: Cast, notary: Notary, name: str) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    command = cast.command(name)
    with unchanged(refusals=1), pytest.raises(Forbidden):
        prune(cast, export, command=command)
    refused = Event.objects.get(verb="audit.pruned")
    assert (refused.outcome, refused.subject_kind) == ("refused", "retention")


def test_nothing_young_goes(cast: Cast, notary: Notary) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    keep(10)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_too_young"):
        prune(cast, export, before=timezone.now() - timedelta(days=3651))
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_nothing"):
        prune(cast, export, before=timezone.now() - timedelta(days=3654))


def test_how_long_it_is_kept_is_set_by_the_owner_with_an_entry(cast: Cast, notary: Notary) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE audits_retention_period SET years = 0")
    keep(10)
    call_command("keep_decision_log", "12", "--reason", "schedule 5")
    event = Event.objects.get(verb="retention.set")
    assert (event.detail, RetentionPeriod.objects.get().years) == ({"before": 10, "years": 12}, 12)
    for years, reason in (("0", "r"), ("101", "r"), ("11", " ")):
        with pytest.raises(CommandError):
            call_command("keep_decision_log", years, "--reason", reason)
    assert RetentionPeriod.objects.get().years == 12
    assert Event.objects.filter(verb="retention.set", outcome="refused").count() == 3


@pytest.mark.parametrize("reason", ["", "  ", "x" * 4001])
def test_without_a_reason(cast: Cast, notary: Notary, reason: str) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        prune(cast, export, reason=reason)


def test_an_export_of_something_else(cast: Cast, notary: Notary) -> None:
    runs(cast, 2)
    notary.run_pass()
    unfit = [made(ask(cast, form="csv")), made(ask(cast, verb=RUN)), made(ask(cast, q="quality")), ask(cast)]
    notary.run_pass()
    for export in unfit:
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_incomplete"):
            prune(cast, export)
    with unchanged(refusals=0), pytest.raises(NotFound):
        prune_log(command=shell(cast), export_id=uuid7(), before=timezone.now(), reason="r")
    elsewhere = Command(system_actor("shell", cast.elsewhere.id))
    with unchanged(refusals=0), pytest.raises(NotFound):
        prune(cast, unfit[0], command=elsewhere)


def test_what_came_after_the_export_stays(cast: Cast, notary: Notary) -> None:
    old = runs(cast, 1)
    export = exported(cast, notary)
    later = runs(cast, 1)
    notary.run_pass()
    prune(cast, export)
    assert not Event.objects.filter(id=old[0].id).exists()
    assert Event.objects.filter(id=later[0].id).exists()
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_nothing"):
        prune(cast, export)


def test_an_export_that_does_not_verify(cast: Cast, notary: Notary, settings: Any) -> None:
    runs(cast, 2)
    export = exported(cast, notary)
    path = Path(blobs._storage().path(blobs.name_of(export.workspace_id, export.blob_digest)))
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole.replace(b"check_run.completed", b"check_run.cxmpleted", 1))
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)
    path.write_bytes(whole)
    key = Path(settings.CRIVO_PUBLISH) / "vkey"
    text = key.read_text()
    key.write_text("other+00000000+AAAA\n")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)
    key.write_text(text)
    path.unlink()
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)


@pytest.mark.parametrize("how", ["wrote", "acted"])
def test_under_a_legal_hold(cast: Cast, notary: Notary, how: str) -> None:
    person = cast.people["bruno"].id
    if how == "wrote":
        runs(cast, 1, texts={"reason": "my words"}, texts_of=person)
    else:
        with transaction.atomic():
            from audits.ledger.record import record

            record(cast.command("bruno"), verb=RUN, subject=SubjectRef("check_run", uuid7(), "x"))
    export = exported(cast, notary)
    hold = erasure.place_hold(command=shell(cast), person=person, reason="case 12").value
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_on_hold"):
        prune(cast, export)
    erasure.lift_hold(command=shell(cast), hold_id=hold.id, reason="closed")
    assert prune(cast, export).detail["count"] == 1


def test_a_row_that_was_changed_is_not_pruned_away(cast: Cast, notary: Notary) -> None:
    """Nobody loses the traces of a tamper by pruning them."""
    victim = runs(cast, 2)[0]
    export = exported(cast, notary)
    past_crivo(f"UPDATE audits_event SET subject_label = 'x' WHERE id = '{victim.id}'")
    with pytest.raises(Exception, match="entry_damaged"):
        prune(cast, export)
    assert not PrunedEvent.objects.exists()
    assert Event.objects.filter(id=victim.id).exists()
