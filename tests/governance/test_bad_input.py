"""What cannot be stored, hashed or compared is refused before it gets near the database: 4xx, never a crash."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audits.models import Event
from registry.models import DatasetVersion, LineageEvent
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
LISTS = [
    "promotions",
    "datasets",
    "models",
    "policies",
    "use-cases",
    "audit/exports",
    "audit/events",
    "datasets/patients/versions",
    "models/progression/versions",
]
NOTHING = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def cursor(text: bytes) -> str:
    return b64encode(text).decode()


@pytest.mark.filterwarnings("ignore:DateTimeField Event.at received a naive datetime")
@pytest.mark.parametrize(
    "position",
    [
        b"p=abc",
        b"p=\x00",
        b"p=2026-01-01",
        f"p={NOTHING}".encode(),
        b"r=1&p=1&o=9",
        b"o=-1",
        b"p=\xff",
        b"o=x",
    ],
)
def test_a_cursor_we_did_not_make(cast: Cast, client: Client, position: bytes) -> None:
    study.study(cast)
    for path in LISTS:
        given = {"cursor": cursor(position)}
        answer = client.get(f"/api/v1/{path}", given, headers=cast.headers("clara"))
        # An id that is nobody's, or a moment, is a position like any other where rows are in that order.
        accepted = (200, 400) if position in (f"p={NOTHING}".encode(), b"p=2026-01-01") else (400,)
        assert answer.status_code in accepted, (path, answer.content)


def test_pages_follow_one_another(cast: Cast, client: Client) -> None:
    for n in range(5):
        client.post(
            "/api/v1/datasets",
            {"name": f"d{n}"},
            content_type="application/json",
            headers=cast.headers("ana"),
        )
    seen, address = [], "/api/v1/datasets?page_size=2"
    while address:
        page = client.get(address, headers=cast.headers("ana")).json()
        seen += [row["name"] for row in page["results"]]
        address = page["next"]
    assert seen == ["d4", "d3", "d2", "d1", "d0"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("datasets/%00", 404),
        ("datasets/a%00b/versions", 404),
        ("models/%00/versions/1", 404),
        ("models/m/versions/" + "9" * 30, 404),
        ("use-cases/%00", 404),
        ("promotions?model=%00", 400),
        (f"gate?digest=sha256:{'0' * 64}&environment=%00", 400),
        (f"gate?digest=sha256:{'0' * 64}&environment=test&model=%00", 400),
        ("audit/events?subject_kind=%00", 400),
        ("audit/events?verb=a&verb=%00", 400),
        ("lineage?nodeId=%00", 400),
    ],
)
def test_nul_in_an_address(cast: Cast, client: Client, path: str, status: int) -> None:
    headers = cast.headers("clara")
    with unchanged(refusals=0):
        answer = client.get(f"/api/v1/{path}", headers=headers)
        assert answer.status_code == status, answer.content


LONE = '"\\ud800"'


@pytest.mark.parametrize(
    "value", [LONE, '"a\\u0000b"', "[9007199254740993]", "[1e999]", "[" + "9" * 400 + "]"]
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_json_that_cannot_be_stored(cast: Cast, client: Client, value: str, key: dict[str, str]) -> None:
    headers = {**cast.headers("rita"), **key}
    with unchanged(refusals=0):
        for path, body in (
            ("use-cases", f'{{"name": "n", "risk_tier": "high", "purpose": {value}}}'),
            ("policies", f'{{"text": {value}, "more": {value}}}'),
            ("datasets", f'{{"name": {value}}}'),
            ("models/none/versions/1/promotions", f'{{"to": "test", "reason": {value}}}'),
        ):
            answer = client.post(f"/api/v1/{path}", body, content_type="application/json", headers=headers)
            assert answer.status_code in (400, 404), answer.content


@pytest.mark.parametrize(
    ("event", "finding"),
    [
        ('{"job": {"name": "\\ud800"}}', "lineage_nul_replaced"),
        ('{"job": {"name": "x"}, "\\udfff": 1}', "lineage_nul_replaced"),
        ('{"job": {"name": "x", "namespace": "a\\u0000b"}}', "lineage_nul_replaced"),
        ('{"job": {"name": "x"}, "rows": 9007199254740993}', "lineage_number_as_text"),
        ('{"job": {"name": "x"}, "rows": 1e999}', "lineage_number_as_text"),
        ('{"job": {"name": "x"}, "run": "y"}', "lineage_schema_url_missing"),
        ('{"job": {"name": "x"}, "eventTime": "0001-01-01T00:00:00+14:00"}', "lineage_event_time_missing"),
        ('{"job": {"name": "x"}, "eventTime": "9999-12-31T23:59:59-14:00"}', "lineage_event_time_missing"),
        ('{"job": {"name": "x"}, "eventTime": "2026-13-45T99:00:00Z"}', "lineage_event_time_missing"),
    ],
)
def test_odd_lineage_is_kept_with_a_finding(cast: Cast, client: Client, event: str, finding: str) -> None:
    """Clients of OpenLineage never send a refused event again."""
    headers = cast.headers("pipeline")
    for status, key in ((201, {}), (200, {"Idempotency-Key": "k"}), (200, {"Idempotency-Key": "k"})):
        answer = client.post(
            "/api/v1/lineage", event, content_type="application/json", headers={**headers, **key}
        )
        assert answer.status_code == status, answer.content
        assert finding in answer.json()["findings"]
    assert LineageEvent.objects.get().event_time.year > 2000


def upload(client: Client, cast: Cast, content: bytes, metadata: str, **headers: str) -> Any:
    data = {"file": SimpleUploadedFile("upload", content), "metadata": metadata}
    return client.post(
        "/api/v1/datasets/patients/versions", data, headers={**cast.headers("pipeline"), **headers}
    )


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ('{"sensitive": {"\\ud800": {}}}', 400),
        ('{"sensitive": {"\\u0000": {}}}', 400),
        ('{"sensitive": {"age": {"bins": [9007199254740993]}}}', 400),
        ('{"sensitive": {"age": {"bins": [1e999]}}}', 400),
        ('{"digest": "\\u0000"}', 400),
        ('{"format": "\\ud800"}', 400),
        ('{"sensitive": {"%s": {}}}' % ("x" * 900_000), 422),
        ('{"sensitive": {"%s": {}}}' % ("x" * 3_000_000), 400),
        (json.dumps({"sensitive": [f"c{n}" for n in range(501)]}), 400),
    ],
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_metadata_that_cannot_be_stored(
    cast: Cast, client: Client, metadata: str, status: int, key: dict[str, str]
) -> None:
    study.dataset_version(cast)
    with unchanged(refusals=1 if status == 422 else 0):
        answer = upload(client, cast, study.CSV, metadata, **key)
        assert answer.status_code == status, answer.content
        assert len(answer.content) < 10_000
    assert DatasetVersion.objects.count() == 1


@pytest.mark.parametrize("name", [b"a\x00", b"x" * 1001])
def test_names_of_columns_are_bounded(cast: Cast, client: Client, name: bytes) -> None:
    study.dataset_version(cast)
    with unchanged(refusals=1):
        answer = upload(client, cast, name + b",b\n1,2\n", "{}")
        assert (answer.status_code, answer.json()["code"]) == (422, "upload_csv_unreadable")


def test_a_refusal_that_repeats_much_stays_short(cast: Cast, client: Client) -> None:
    """A refusal names the columns there are; with very many it must still fit its event."""
    study.dataset_version(cast)
    columns = [f"c{n}".ljust(900, "x") for n in range(3000)]
    content = (",".join(columns) + "\n" + ",".join(["1"] * len(columns)) + "\n").encode()
    answer = upload(client, cast, content, '{"sensitive": {"none": {}}}')
    assert (answer.status_code, answer.json()["code"]) == (422, "column_not_in_data")
    known = answer.json()["params"]["known"]
    assert (len(known), known[-1]) == (101, "…")
    assert Event.objects.filter(verb="dataset_version.registered", outcome="refused").count() == 1


def test_a_chunked_body_is_refused_in_words(cast: Cast, client: Client) -> None:
    answer = client.generic(
        "POST",
        "/api/v1/datasets",
        b"",
        content_type="application/json",
        headers={**cast.headers("pipeline"), "Transfer-Encoding": "chunked"},
    )
    assert (answer.status_code, "Content-Length" in answer.json()["detail"]) == (400, True)
