"""Service and notary have a role each: by real connections, each tries what is the other's, and what is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections

from audits import roles
from audits.ledger.notary import Notary
from audits.models import Event, Leaf, OutOfBandChange
from audits.roles import CLOSED, NOTARY, RIGHTS, SERVICE, acting_as_notary
from governance.net import NOTARY_RIGHTS
from tests.audits.trail import past_crivo, verified, workspace, write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
DENIED = "42501"  # insufficient_privilege
LEDGER = [
    "audits_event",
    "audits_event_text",
    "audits_leaf",
    "audits_node",
    "audits_checkpoint",
    "audits_quarantine",
    "audits_log_state",
    "audits_subject_head",
    "out_of_band_change",
    "audits_earlier_leaf",
    "audits_earlier_checkpoint",
    "audits_workspace",
    "governance_attestation",
    "governance_revocation_list",
    "governance_decision",
]


def session(alias: str) -> Any:
    """A connection of this role as its process has one: not Django's, nothing switched."""
    parameters = connections[alias].get_connection_params()
    parameters.pop("cursor_factory", None)
    made = psycopg2.connect(**parameters)
    made.autocommit = True
    return made


@pytest.fixture
def sessions(transactional_db: None) -> Iterator[dict[str, Any]]:
    made = {alias: session(alias) for alias in ("default", "notary")}
    yield made
    for one in made.values():
        one.close()


def code_of(one: Any, statement: str) -> str:
    """What the database answers: empty if it did it."""
    try:
        with one.cursor() as cursor:
            cursor.execute(statement)
    except psycopg2.Error as error:
        return str(error.pgcode)
    return ""


def test_each_has_its_role(sessions: dict[str, Any]) -> None:
    for alias, role in (("default", SERVICE), ("notary", NOTARY)):
        with sessions[alias].cursor() as cursor:
            cursor.execute(
                "SELECT session_user, current_user, pg_has_role('crivo_owner', 'MEMBER'), "
                "pg_has_role('crivo_app', 'MEMBER') AND pg_has_role('crivo_notary', 'MEMBER')"
            )
            assert cursor.fetchone() == (role, role, False, False)


OF_THE_NOTARY = {
    "a leaf": "INSERT INTO audits_leaf (index, event_id, hash) VALUES (0, gen_random_uuid(), '')",
    "a node": "INSERT INTO audits_node (level, index, hash) VALUES (1, 0, '')",
    "a checkpoint": "INSERT INTO audits_checkpoint (size, root, note, published_at) VALUES (1, '', '', now())",
    "a genuine event put aside": "INSERT INTO audits_quarantine (event_id, code, found_at) "
    "SELECT id, 'mac_differs', now() FROM audits_event",
    "another watermark": "UPDATE audits_log_state SET watermark = 9e18",
    "another origin": "UPDATE audits_log_state SET origin = 'x'",
    "a log of one's own": "INSERT INTO audits_log_state (id, origin, watermark) VALUES (1, 'x', 0)",
    "a change marked as told": "UPDATE out_of_band_change SET alarm_event = gen_random_uuid()",
    "an attestation": "INSERT INTO governance_attestation (promotion_id, envelope, key_id, issued_at) "
    "VALUES (gen_random_uuid(), '{}', 'k', now())",
    "a list of revoked ones": "INSERT INTO governance_revocation_list (n, envelope, digest, key_id, issued_at, "
    "next_update) VALUES (9, '{}', '', 'k', now(), now())",
}


@pytest.mark.parametrize("what", OF_THE_NOTARY)
def test_the_service_may_not_do_the_notary_s_part(
    notary: Notary, sessions: dict[str, Any], what: str
) -> None:
    write(3)
    notary.run_pass()
    write(1)  # what is not sequenced yet could be put aside
    assert code_of(sessions["default"], OF_THE_NOTARY[what]) == DENIED
    assert notary.run_pass().sequenced == 1
    assert verified().findings == []


def test_the_notary_may_do_no_service_s_part(committed_cast: Cast, sessions: dict[str, Any]) -> None:
    """No governed row can be written, whichever table it is in; what it may write is what is listed."""
    allowed = {found.table: found.notary for found in (*RIGHTS, *NOTARY_RIGHTS)}
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            cursor.execute(
                "SELECT privilege_type, array_agg(column_name::text ORDER BY column_name) "
                "FROM information_schema.column_privileges WHERE grantee = %s AND table_name = %s "
                "AND privilege_type <> 'SELECT' GROUP BY 1",
                [NOTARY, table],
            )
            found = dict(cursor.fetchall())
            said = allowed.get(table, "")
            assert set(found) == {word for word in ("INSERT", "UPDATE") if word in said}, table
            if "UPDATE" in said:
                columns = said.partition("UPDATE (")[2].rstrip(")")
                assert found["UPDATE"] == sorted(columns.split(", ")), table
    for table in tables:
        assert code_of(sessions["notary"], f"DELETE FROM {table}") == DENIED, table
        assert code_of(sessions["notary"], f"TRUNCATE {table}") == DENIED, table
        if "INSERT" not in allowed.get(table, ""):
            assert code_of(sessions["notary"], f"INSERT INTO {table} DEFAULT VALUES") == DENIED, table


def test_the_notary_reads_no_secret_and_no_word_of_a_person(
    committed_cast: Cast, sessions: dict[str, Any]
) -> None:
    assert {
        table for table in CLOSED if code_of(sessions["notary"], f"SELECT 1 FROM {table} LIMIT 1") != DENIED
    } == set()
    assert code_of(sessions["notary"], "SELECT 1 FROM governance_promotion") == ""


@pytest.mark.parametrize("alias", ["default", "notary"])
@pytest.mark.parametrize("table", LEDGER)
def test_neither_changes_or_removes_what_was_written(
    sessions: dict[str, Any], alias: str, table: str
) -> None:
    one = sessions[alias]
    assert code_of(one, f"DELETE FROM {table}") == DENIED
    assert code_of(one, f"TRUNCATE {table}") == DENIED
    assert code_of(one, f"ALTER TABLE {table} DISABLE TRIGGER ALL") == DENIED
    assert code_of(one, f"DROP TABLE {table}") == DENIED
    if table in ("audits_event", "audits_event_text", "audits_leaf", "audits_node", "audits_checkpoint"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
            )
            columns = [row[0] for row in cursor.fetchall()]
        for column in columns:
            assert code_of(one, f'UPDATE {table} SET "{column}" = DEFAULT') == DENIED, column


@pytest.mark.parametrize(
    "attempt",
    [
        "SET ROLE crivo_owner",
        "SET ROLE crivo_app",
        "SET ROLE crivo_migrator",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (n int)",
        "INSERT INTO audits_event (xid) VALUES ('1')",
        "SELECT password FROM governance_user",
    ],
)
def test_the_notary_may_not(sessions: dict[str, Any], attempt: str) -> None:
    assert code_of(sessions["notary"], attempt) == DENIED


@pytest.mark.past_the_door
def test_an_alarm_cannot_be_silenced_by_the_service(committed_cast: Cast, sessions: dict[str, Any]) -> None:
    with sessions["default"].cursor() as cursor:
        cursor.execute("UPDATE governance_role_binding SET revoked_at = now()")
    before = OutOfBandChange.objects.filter(alarm_event=None).count()
    assert before
    silence = "UPDATE out_of_band_change SET alarm_event = gen_random_uuid()"
    assert code_of(sessions["default"], silence) == DENIED
    assert OutOfBandChange.objects.filter(alarm_event=None).count() == before


def test_the_notary_hands_its_rights_to_nobody(sessions: dict[str, Any]) -> None:
    assert (
        code_of(sessions["notary"], "GRANT INSERT ON audits_leaf TO crivo_app") == ""
    )  # a warning, and no grant
    assert code_of(sessions["default"], OF_THE_NOTARY["a leaf"]) == DENIED


def test_what_was_granted_by_hand_is_taken_back(sessions: dict[str, Any]) -> None:
    """Rights follow every migration: from nothing, so that none stays that is not listed."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "GRANT INSERT ON audits_leaf TO crivo_app; GRANT ALL ON governance_user TO crivo_notary"
        )
    call_command("migrate", database="migrator", verbosity=0)
    assert code_of(sessions["default"], OF_THE_NOTARY["a leaf"]) == DENIED
    assert code_of(sessions["notary"], "SELECT 1 FROM governance_user") == DENIED


def test_without_the_role_the_service_stays_the_notary(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of one's own whose administrator has not made the role yet."""
    monkeypatch.setattr(roles, "NOTARY", "crivo_nobody")
    with connections["migrator"].cursor() as cursor:
        assert roles.apply(cursor) is False


def test_the_two_connections_are_of_one_database(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["notary"].settings_dict, "NAME", "another")
    with pytest.raises(ImproperlyConfigured, match="one database"), acting_as_notary():
        raise AssertionError
    assert connections["default"].settings_dict["NAME"] != "another"


def test_it_acts_as_itself_and_the_service_s_connection_comes_back(notary: Notary) -> None:
    event = write(1)[0]
    past_crivo("UPDATE audits_event SET outcome = 'refused' WHERE id = %s", parameters=(event.id,))
    assert notary.run_pass().quarantined == 1  # a service, too, inside a pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (SERVICE,)
    with acting_as_notary(), acting_as_notary(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (NOTARY,)
    assert connection.alias == "default"
    assert Event.objects.filter(verb="event.quarantined").exists()
    assert not Leaf.objects.filter(event=event).exists()
    assert workspace()
