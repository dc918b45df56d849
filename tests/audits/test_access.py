"""Reads and malformed requests are noise: appended, outside every proof, kept for half a year at least."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client

from audits.models import AccessRecord, Event
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def lines() -> list[tuple[str, str, int]]:
    return list(AccessRecord.objects.order_by("id").values_list("method", "path", "status"))


def test_what_is_noise_and_what_is_an_event(committed_cast: Cast) -> None:
    client, headers = Client(), committed_cast.headers("ana")
    before = Event.objects.count()
    client.get("/api/v1/models?page_size=5", headers=headers)
    client.get("/api/v1/models/nothing-of-ours", headers=headers)
    client.get("/api/v1/models")
    client.get("/api/v1/secret-name@example.org")
    client.post("/api/v1/models", "{", content_type="application/json", headers=headers)
    assert lines() == [
        ("GET", "api/v1/models", 200),
        ("GET", "api/v1/models/<str:name>", 404),
        ("GET", "api/v1/models", 401),
        ("GET", "", 404),
        ("POST", "api/v1/models", 400),
    ]
    assert Event.objects.count() == before
    rows = AccessRecord.objects.order_by("id")
    assert (rows[0].actor_id, rows[0].workspace_id) == (
        committed_cast.people["ana"].id,
        committed_cast.workspace.id,
    )
    assert (rows[2].actor_id, rows[2].workspace_id) == (None, None)
    # What a service did or refused is an event, and nothing here.
    assert (
        client.post("/api/v1/models", {"name": "m"}, "application/json", headers=headers).status_code == 201
    )
    clara = committed_cast.headers("clara")
    assert client.post("/api/v1/models", {"name": "n"}, "application/json", headers=clara).status_code == 403
    assert len(lines()) == 5
    assert client.get("/healthz").status_code == 200
    assert len(lines()) == 5


def test_it_only_grows_and_is_pruned_by_the_owner_after_half_a_year(committed_cast: Cast) -> None:
    client, headers = Client(), committed_cast.headers("ana")
    for _ in range(3):
        client.get("/api/v1/me", headers=headers)
    for statement in ("UPDATE audits_access SET status = 500", "DELETE FROM audits_access"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with connections["migrator"].cursor() as cursor:
        cursor.execute("ALTER TABLE audits_access DISABLE TRIGGER append_only_row")
        cursor.execute(
            "UPDATE audits_access SET at = at - interval '184 days' WHERE id = (SELECT min(id) FROM audits_access)"
        )
        cursor.execute("ALTER TABLE audits_access ENABLE ALWAYS TRIGGER append_only_row")
    with pytest.raises(CommandError, match="at least 183 days"):
        call_command("prune_access", "--days", "30")
    out = io.StringIO()
    call_command("prune_access", "--days", "183", stdout=out)
    assert (out.getvalue(), AccessRecord.objects.count()) == ("1 lines of the access log removed\n", 2)
    with pytest.raises(DatabaseError, match="never changed"), connections["migrator"].cursor() as cursor:
        cursor.execute("DELETE FROM audits_access")


def test_an_answer_does_not_fail_with_it(committed_cast: Cast) -> None:
    with connections["migrator"].cursor() as cursor:
        cursor.execute("REVOKE INSERT ON audits_access FROM crivo_app")
    try:
        assert Client().get("/api/v1/me", headers=committed_cast.headers("ana")).status_code == 200
    finally:
        with connections["migrator"].cursor() as cursor:
            cursor.execute("GRANT INSERT ON audits_access TO crivo_app")
