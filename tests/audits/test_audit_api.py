"""The trail over HTTP: who may read it, what a wrong question gets, and that what is handed out verifies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.ledger.note import VerifierKey, verify_checkpoint
from audits.ledger.signing import checkpoint_key
from audits.models import AuditExport, Event
from audits.tasks import run_export
from audits.verifier import verify_export, verify_receipt
from governance.client.unpack import unpack
from tests import study
from tests.audits.trail import past_crivo, write
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
EVENTS, EXPORTS = "/api/v1/audit/events", "/api/v1/audit/exports"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def get(client: Client, cast: Cast) -> Callable[..., Any]:
    def call(path: str, name: str = "clara", **query: Any) -> Any:
        return client.get(path, query, headers=cast.headers(name))

    return call


def post(client: Client, cast: Cast, body: Any, name: str = "clara", **headers: str) -> Any:
    return client.post(
        EXPORTS, body, content_type="application/json", headers={**cast.headers(name), **headers}
    )


def test_the_trail_newest_first_with_sentences(cast: Cast, get: Callable[..., Any]) -> None:
    study.study(cast)
    answer = get(EVENTS, page_size=500)
    assert answer.status_code == 200, answer.content
    rows = answer.json()["results"]
    stored = Event.objects.filter(workspace=cast.workspace).order_by("-at", "-id")
    assert [row["id"] for row in rows] == [str(event.id) for event in stored]
    sentences = {row["verb"]: row["sentence"] for row in rows}
    assert "shell applied the policy study-development@1" in {row["sentence"] for row in rows}
    assert sentences["model_version.registered"].startswith("training pipeline ")
    assert sentences["workspace.bootstrapped"] == "shell set up the workspace default"
    # The study publishes its policies, so that they are in force, and nothing after them.
    indexed = {row["verb"]: row["index"] is not None for row in rows}
    assert (indexed["policy.applied"], indexed["model_version.registered"]) == (True, False)


def test_pages_of_the_trail_neither_skip_nor_repeat(
    cast: Cast, get: Callable[..., Any], client: Client
) -> None:
    write(9, None, cast.workspace.id)
    answer, seen = get(EVENTS, page_size=4, verb="dataset.registered").json(), []
    while True:
        seen += [row["id"] for row in answer["results"]]
        write(1, None, cast.workspace.id)  # what comes meanwhile is newer than everything still to be read
        if answer["next"] is None:
            break
        answer = client.get(answer["next"], headers=cast.headers("clara")).json()
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"verb": "role.bound"}, 7),
        ({"verb": ["role.bound", "token.issued"]}, 9),
        ({"subject_kind": "role_binding", "outcome": "done"}, 7),
        ({"outcome": "refused"}, 0),
        ({"to": "2020-01-01T00:00:00Z"}, 0),
        ({"from": "2020-01-01T00:00:00-03:00", "verb": "workspace.bootstrapped"}, 1),
    ],
)
def test_search(cast: Cast, get: Callable[..., Any], query: dict[str, Any], count: int) -> None:
    cast.token("clara")
    assert len(get(EVENTS, **query).json()["results"]) == count


@pytest.mark.parametrize("field", ["actor", "subject_id", "correlation_id", "request_id"])
def test_search_by_id(cast: Cast, get: Callable[..., Any], field: str) -> None:
    event = write(2, None, cast.workspace.id)[0]
    value = event.actor_id if field == "actor" else getattr(event, field)
    found = get(EVENTS, **{field: value, "verb": "dataset.registered"}).json()["results"]
    assert str(event.id) in {row["id"] for row in found}
    assert len(found) == (2 if field == "actor" else 1)
    assert get(EVENTS, **{field: uuid7()}).json()["results"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"verb": "nonsense"}, "verb"),
        ({"actor": "ana"}, "actor"),
        ({"from": "now"}, "from"),
        ({"from": "2026-01-01"}, "from"),
        ({"who": "ana"}, "who"),
        ({"outcome": "' OR 1=1"}, "outcome"),
    ],
)
def test_a_wrong_question_is_told_why(get: Callable[..., Any], query: dict[str, str], field: str) -> None:
    answer = get(EVENTS, **query)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("name", ["bruno", "ana", "pipeline"])
def test_who_is_no_auditor_reads_and_exports_nothing(
    cast: Cast, get: Callable[..., Any], client: Client, notary: Notary, name: str
) -> None:
    event = write(1, None, cast.workspace.id)[0]
    export = post(client, cast, {}).json()["id"]
    notary.run_pass()
    run_export(export)
    cast.token(name)
    with unchanged(refusals=0):
        assert get(EVENTS, name).status_code == 403
        assert get(f"/api/v1/audit/proof/{event.id}", name).status_code == 403
        assert get(f"{EXPORTS}/{export}", name).status_code == 404
        assert get(f"{EXPORTS}/{export}/content", name).status_code == 404
        assert get(EXPORTS, name).json()["results"] == []
    with unchanged(refusals=1):
        answer = post(client, cast, {"filter": {}}, name)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


def test_another_workspace_is_not_there(cast: Cast, get: Callable[..., Any], notary: Notary) -> None:
    theirs = write(1, None, cast.elsewhere.id)[0]
    notary.run_pass()
    assert str(theirs.id) not in {row["id"] for row in get(EVENTS, page_size=500).json()["results"]}
    answer = get(f"/api/v1/audit/proof/{theirs.id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_without_a_token(client: Client, db: None) -> None:
    for path in (
        EVENTS,
        EXPORTS,
        "/api/v1/audit/checkpoint",
        "/api/v1/audit/vkey",
        f"/api/v1/check-runs/{uuid7()}",
    ):
        assert client.get(path).status_code == 401


def test_an_export_from_asking_to_verifying(
    cast: Cast, get: Callable[..., Any], client: Client, notary: Notary, tmp_path: Path
) -> None:
    write(3, None, cast.workspace.id)
    asked = post(client, cast, {"filter": {"verb": ["dataset.registered"]}})
    assert asked.status_code == 202, asked.content
    address = asked["Location"]
    assert asked.json()["state"] == "queued"
    assert asked.json()["content"] is None
    waiting = get(f"{address}/content")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "export_not_done")
    notary.run_pass()
    run_export(asked.json()["id"])
    done = get(address, wait=5).json()
    assert (done["state"], done["matches"], done["counts"]) == ("done", 3, {"dataset.registered": 3})
    content = client.get(done["content"], headers={**cast.headers("clara"), "Accept": "application/x-tar"})
    assert (content.status_code, content["Content-Type"]) == (200, "application/x-tar")
    data = b"".join(content.streaming_content)
    assert len(data) == int(content["Content-Length"]) == done["blob_size"]
    unpack(io.BytesIO(data), tmp_path / "export")
    vkey = get("/api/v1/audit/vkey").content.decode().strip()
    kept = get("/api/v1/audit/checkpoint").content
    report = verify_export(tmp_path / "export", vkey, kept)
    assert report.verified, report.problems
    assert [row["id"] for row in get(EXPORTS).json()["results"]] == [done["id"]]


def test_the_same_request_sent_twice_is_one_export(cast: Cast, client: Client) -> None:
    cast.token("clara")
    first = post(client, cast, {"filter": {}}, **{"Idempotency-Key": "k1"})
    again = post(client, cast, {"filter": {}}, **{"Idempotency-Key": "k1"})
    assert first.json()["id"] == again.json()["id"]
    other = post(client, cast, {"filter": {"outcome": "done"}}, **{"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert AuditExport.objects.count() == Event.objects.filter(verb="audit.exported").count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"filter": 3},
        {"filter": [1]},
        {"filter": {"verb": "x"}},
        {"filter": {"x": 1}},
        {"fliter": {}},
        [],
        7,
        "x",
    ],
)
def test_a_wrong_export_changes_nothing(cast: Cast, client: Client, body: Any) -> None:
    cast.token("clara")
    with unchanged(refusals=0):
        assert post(client, cast, body).status_code == 400


def test_lost_bytes_are_said_so(cast: Cast, get: Callable[..., Any], client: Client, notary: Notary) -> None:
    export = post(client, cast, {}).json()["id"]
    notary.run_pass()
    run_export(export)
    AuditExport.objects.filter(id=export).update(blob_digest="sha256:" + "0" * 64)
    answer = get(f"{EXPORTS}/{export}/content")
    assert (answer.status_code, answer.json()["code"]) == (503, "export_content_lost")


def test_proof_key_and_checkpoint(cast: Cast, get: Callable[..., Any], notary: Notary) -> None:
    event = write(1, None, cast.workspace.id)[0]
    early = get(f"/api/v1/audit/proof/{event.id}")
    assert (early.status_code, early.json()["code"]) == (404, "event_not_published")
    assert get("/api/v1/audit/checkpoint").json()["code"] == "nothing_published"
    notary.run_pass()
    key = VerifierKey.parse(get("/api/v1/audit/vkey", "pipeline").content.decode().strip())
    assert key == checkpoint_key().vkey
    checkpoint = verify_checkpoint(get("/api/v1/audit/checkpoint", "pipeline").content, key)
    assert checkpoint.size == Event.objects.count()
    receipt, seen = verify_receipt(get(f"/api/v1/audit/proof/{event.id}").content, key)
    assert seen == checkpoint
    row = next(row for row in get(EVENTS, page_size=500).json()["results"] if row["id"] == str(event.id))
    assert row["index"] == receipt.index
    past_crivo(f"UPDATE audits_event SET verb = 'model.registered' WHERE id = '{event.id}'")
    damaged = get(f"/api/v1/audit/proof/{event.id}")
    assert (damaged.status_code, damaged.json()["code"]) == (500, "entry_damaged")


def test_a_check_run(cast: Cast, get: Callable[..., Any]) -> None:
    version = study.study(cast)
    study.ask(cast, version, "development")
    study.sequence()
    study.ask(cast, version, "test")
    study.sequence()
    promotion = study.finish_checks(study.ask(cast, version, "homologation"))
    run = promotion.checks.get().run
    answer = get(f"/api/v1/check-runs/{run.id}", "bruno")
    assert answer.status_code == 200
    assert answer.json()["state"] == "completed"
    assert answer.json()["result"]["metrics"][0]["value"] == 0.86
    assert get(f"/api/v1/check-runs/{run.id}", "davi").status_code == 404
    assert get(f"/api/v1/check-runs/{uuid7()}").status_code == 404
