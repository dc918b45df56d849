"""Every way past the door is seen, told in an event and raises an alarm; services never are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from audits.actors import Command
from audits.ids import uuid7
from audits.ledger.signing import checkpoint_key
from audits.ledger.verification import verify_ledger
from audits.models import Event, OutOfBandChange
from audits.net import holes, nets
from audits.roles import acting_as_notary
from audits.services.alarms import tell_of_changes
from audits.services.comparison import compare, compare_and_tell
from governance.models import Alias, Placement, Promotion, RoleBinding, UseCase
from registry.models import Model, ModelVersion
from registry.models.base import Governed
from tests import study
from tests.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]

# Governed models whose tables the net leaves alone, and why (governance.net).
LEFT_ALONE = {"governance_notice"}


def seen() -> list[tuple[str, str, str]]:
    rows = OutOfBandChange.objects.order_by("at", "id")
    return list(rows.values_list("code", "operation", "table_name"))


def table_sql(text: str, *given: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, list(given))


def copy_in(text: str, row: str) -> None:
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(text, io.StringIO(row))


def placed(cast: Cast) -> ModelVersion:
    version = study.study(cast)
    study.finish_checks(study.ask(cast, version, "development"))
    study.sequence()
    return version


PATHS: dict[str, tuple[Callable[[Cast, ModelVersion], Any], tuple[str, str]]] = {
    "update()": (
        lambda cast, version: Placement.objects.update(state="withdrawn"),
        ("update", "governance_placement"),
    ),
    "save()": (
        lambda cast, version: _saved(Promotion.objects.get(), state="granted", requirements=[{"met": True}]),
        ("update", "governance_promotion"),
    ),
    "bulk_create()": (
        lambda cast, version: RoleBinding.objects.bulk_create(
            [RoleBinding(workspace=cast.workspace, role="administrator", person=cast.people["ana"])]
        ),
        ("insert", "governance_role_binding"),
    ),
    "bulk_update()": (
        lambda cast, version: ModelVersion.objects.bulk_update(
            [_with(version, author_id=uuid7())], ["author_id"]
        ),
        ("update", "registry_model_version"),
    ),
    "raw UPDATE": (
        lambda cast, version: table_sql("UPDATE governance_use_case SET risk_tier = 'minimal'"),
        ("update", "governance_use_case"),
    ),
    "raw INSERT": (
        lambda cast, version: table_sql(
            "INSERT INTO registry_model (id, workspace_id, created_at, name, description, owner_id, last_n) "
            "VALUES (gen_random_uuid(), %s, now(), 'smuggled', '', gen_random_uuid(), 0)",
            cast.workspace.id,
        ),
        ("insert", "registry_model"),
    ),
    "COPY": (
        lambda cast, version: copy_in(
            "COPY registry_model (id, workspace_id, created_at, name, description, owner_id, last_n) FROM STDIN",
            f"{uuid7()}\t{cast.workspace.id}\t2026-01-01\tcopied\t\t{uuid7()}\t0\n",
        ),
        ("insert", "registry_model"),
    ),
    "INSERT … ON CONFLICT DO UPDATE": (
        lambda cast, version: table_sql(
            "INSERT INTO governance_use_case SELECT * FROM governance_use_case ON CONFLICT (id) "
            "DO UPDATE SET purpose = 'another'"
        ),
        ("update", "governance_use_case"),
    ),
    "UPDATE with constraints made immediate": (
        lambda cast, version: table_sql(
            "SET CONSTRAINTS ALL IMMEDIATE; UPDATE governance_placement SET state = 'superseded'"
        ),
        ("update", "governance_placement"),
    ),
    "a role taken away by hand": (
        lambda cast, version: RoleBinding.objects.filter(role="validator").update(revoked_at=timezone.now()),
        ("update", "governance_role_binding"),
    ),
    "an environment's row": (
        lambda cast, version: table_sql(
            "UPDATE governance_environment SET exclusive = false WHERE name = 'production' "
            "AND workspace_id = (SELECT workspace_id FROM registry_model LIMIT 1)"
        ),
        ("update", "governance_environment"),
    ),
}


def _with(row: Any, **changes: Any) -> Any:
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def _saved(row: Any, **changes: Any) -> None:
    _with(row, **changes).save()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_past_the_door_is_told(path: str, committed_cast: Cast) -> None:
    version = placed(committed_cast)
    assert seen() == []
    act, expected = PATHS[path]
    with transaction.atomic():
        act(committed_cast, version)
    rows = OutOfBandChange.objects.all()
    assert {(row.code, row.operation, row.table_name) for row in rows} == {("no_event", *expected)}
    assert {row.database_role for row in rows} == {"crivo_app"}
    assert all(row.before != row.after for row in rows)
    events = tell_of_changes()
    assert len(events) == 1
    event = Event.objects.get(id=events[0])
    assert (event.verb, event.actor_kind, event.outcome) == ("out_of_band.detected", "system", "done")
    assert (event.detail["table"], event.detail["operation"], event.detail["rows"]) == (
        expected[1],
        expected[0],
        len(rows),
    )
    assert set(OutOfBandChange.objects.values_list("alarm_event", flat=True)) == {event.id}
    assert tell_of_changes() == []  # once
    study.sequence()
    assert verify_ledger(checkpoint_key().vkey).verified  # the log itself was not touched


OWNER: dict[str, tuple[str, tuple[str, str]]] = {
    "DELETE": ("DELETE FROM governance_alias", ("delete", "governance_alias")),
    "TRUNCATE": ("TRUNCATE governance_alias", ("truncate", "governance_alias")),
}


@pytest.mark.parametrize("path", OWNER)
def test_what_only_the_owner_may_do_is_told_too(path: str, committed_cast: Cast) -> None:
    version = placed(committed_cast)
    from governance.services.aliases import set_alias

    set_alias(command=committed_cast.command("bia"), model=version.model.name, alias="champion", n=1)
    statement, expected = OWNER[path]
    with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
        cursor.execute(statement)
    assert seen() == [("no_event", *expected)]
    assert [Event.objects.get(id=event).verb for event in tell_of_changes()] == ["out_of_band.detected"]


def test_queryset_delete_is_refused_or_told(committed_cast: Cast) -> None:
    """The service's role may not delete governed rows at all."""
    placed(committed_cast)
    from django.db import ProgrammingError

    with pytest.raises(ProgrammingError, match="permission denied"):
        Alias.objects.all().delete()
    assert seen() == []


def test_an_event_of_the_same_transaction_about_the_same_subject_is_no_cover(committed_cast: Cast) -> None:
    """A raw change that follows the event of a service in its transaction is not what the event says came out."""
    from audits.canonical import digest_of
    from audits.ledger.record import record

    placed(committed_cast)
    use_case = UseCase.objects.get()
    with transaction.atomic():
        record(
            committed_cast.command("rita"),
            verb="use_case.registered",
            subject=use_case.ref,
            after=digest_of("what the row was"),
        )
        UseCase.objects.update(risk_tier="minimal")
    assert seen() == [("differs", "update", "governance_use_case")]


def test_an_event_about_another_subject_is_no_cover(committed_cast: Cast) -> None:
    from audits.ledger.record import record

    version = placed(committed_cast)
    with transaction.atomic():
        record(committed_cast.command("rita"), verb="use_case.registered", subject=UseCase.objects.get().ref)
        ModelVersion.objects.filter(id=version.id).update(state="retired")
    assert seen() == [("no_event", "update", "registry_model_version")]


def test_a_refusal_is_no_cover(committed_cast: Cast) -> None:
    from audits.ledger.record import record

    placed(committed_cast)
    use_case = UseCase.objects.get()
    with transaction.atomic():
        UseCase.objects.update(risk_tier="minimal")
        record(
            committed_cast.command("rita"),
            verb="use_case.registered",
            subject=use_case.ref,
            outcome="refused",
        )
    assert seen() == [("no_event", "update", "governance_use_case")]
    # … and it does not vouch for the row either: the comparison still finds it.
    assert [row.subject.id for row in compare().differences] == [use_case.id]


def test_what_was_seen_cannot_be_unseen(committed_cast: Cast) -> None:
    from django.db import DatabaseError

    placed(committed_cast)
    UseCase.objects.update(purpose="another")
    for statement in (
        "DELETE FROM out_of_band_change",
        "TRUNCATE out_of_band_change",
        "UPDATE out_of_band_change SET operation = 'insert'",
        "INSERT INTO out_of_band_change (code, table_name) VALUES ('', '')",
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            table_sql(statement)
    tell_of_changes()
    with pytest.raises(DatabaseError, match="never changed"), acting_as_notary(), transaction.atomic():
        OutOfBandChange.objects.update(alarm_event=None)
    with pytest.raises(DatabaseError, match="never changed"), connections["migrator"].cursor() as cursor:
        cursor.execute("DELETE FROM out_of_band_change")


def test_one_transaction_is_one_alarm(committed_cast: Cast) -> None:
    placed(committed_cast)
    with transaction.atomic():
        for n in range(120):
            Model.objects.create(workspace=committed_cast.workspace, name=f"bulk-{n}", owner_id=uuid7())
    (event,) = tell_of_changes()
    detail = Event.objects.get(id=event).detail
    assert (detail["rows"], len(detail["named"])) == (120, 50)


class Kept:
    raised: ClassVar[list[tuple[str, str]]] = []

    def raise_alarm(self, command: Command, *, event: Event, label: str) -> None:
        Kept.raised.append((event.verb, label))


class Unwilling:
    def raise_alarm(self, command: Command, *, event: Event, label: str) -> None:
        raise RuntimeError("no alarm can be opened")


def test_the_keeper_of_alarms_is_asked_in_the_same_transaction(committed_cast: Cast, settings: Any) -> None:
    placed(committed_cast)
    UseCase.objects.update(purpose="another")
    settings.CRIVO_ALARMS = "tests.audits.test_net.Unwilling"
    with pytest.raises(RuntimeError):
        tell_of_changes()
    assert not Event.objects.filter(verb="out_of_band.detected").exists()
    assert OutOfBandChange.objects.get().alarm_event is None  # so it is tried again
    settings.CRIVO_ALARMS = "tests.audits.test_net.Kept"
    Kept.raised.clear()
    tell_of_changes()
    assert Kept.raised == [("out_of_band.detected", "update on governance_use_case")]


# --- comparison ------------------------------------------------------------------------------------------------------


@contextmanager
def nets_off(table: str) -> Iterator[None]:
    """What a superuser would do: change rows with the triggers off."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        cursor.execute(
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER net_row, ENABLE ALWAYS TRIGGER net_truncate"
        )


@pytest.mark.parametrize(
    ("table", "statement", "found"),
    [
        ("governance_use_case", "UPDATE governance_use_case SET risk_tier = 'minimal'", True),
        ("governance_placement", "UPDATE governance_placement SET granted_event = gen_random_uuid()", True),
        (
            "governance_promotion",
            "UPDATE governance_promotion SET requirements = '[]', dossier_digest = ''",
            True,
        ),
        (
            "registry_model",
            "INSERT INTO registry_model (id, workspace_id, created_at, name, description, owner_id, last_n) "
            "SELECT gen_random_uuid(), workspace_id, now(), 'smuggled', '', owner_id, 0 FROM registry_model",
            True,
        ),
        ("governance_alias", "DELETE FROM governance_alias", False),
    ],
)
def test_the_comparison_finds_what_the_net_could_not_see(
    committed_cast: Cast, table: str, statement: str, found: bool
) -> None:
    from governance.services.aliases import set_alias

    version = placed(committed_cast)
    set_alias(command=committed_cast.command("bia"), model=version.model.name, alias="champion", n=1)
    report = compare()
    assert (report.differences, report.holes, report.uncovered) == ([], [], 0)
    assert report.rows > 20
    with nets_off(table):
        with connections["migrator"].cursor() as cursor:
            cursor.execute(statement)
        assert compare().holes == [f"{table} net_row", f"{table} net_truncate"]
    assert seen() == []
    report = compare_and_tell()
    assert len(report.differences) == 1
    assert bool(report.differences[0].found) is found
    event = Event.objects.get(verb="row.differs")
    assert event.detail["about"]["id"] == str(report.differences[0].subject.id)
    compare_and_tell()
    assert Event.objects.filter(verb="row.differs").count() == 1  # once for one content


def test_a_torn_net_is_told_and_its_mending(committed_cast: Cast) -> None:
    placed(committed_cast)
    with nets_off("governance_use_case"):
        with pytest.raises(SystemExit):
            call_command("compare_rows", stdout=io.StringIO())
        compare_and_tell()
    compare_and_tell()
    told = Event.objects.filter(subject_kind="net").order_by("subject_seq")
    assert [event.verb for event in told] == ["net.torn", "net.mended"]
    assert told[0].detail["holes"] == ["governance_use_case net_row", "governance_use_case net_truncate"]


def test_every_governed_table_is_watched() -> None:
    def below(model: type[Governed]) -> Iterator[type[Governed]]:
        for child in model.__subclasses__():
            yield child
            yield from below(child)

    watched = {net.table for net in nets()}
    tables = {model._meta.db_table for model in below(Governed) if not model._meta.abstract}
    assert tables - watched == LEFT_ALONE
    with connections["migrator"].cursor() as cursor:
        assert holes(cursor, nets()) == []
