"""The gate with Crivo down: what the notary issued, judged by files alone, and attacked in every part."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from securesystemslib.dsse import Envelope

from audits.ledger import dsse
from audits.ledger.canonical import canonical, digest
from audits.ledger.notary import Notary
from audits.ledger.signing import AttestationKey, attestation_key, checkpoint_key
from audits.models import Event
from governance.client import Usage, offline
from governance.client.cli import main
from governance.client.console import Console
from governance.models import Attestation, Placement, RevocationList
from governance.services import revocations
from governance.states import PlacementState
from tests import study
from tests.cast import Cast
from tests.governance.test_attestations import sslib_keys
from tests.governance.test_gate import reinstate, suspend, to_production, withdraw
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
DIGEST = f"sha256:{sha256(b'a model').hexdigest()}"
DOC = Path(__file__).resolve().parents[2] / "docs" / "gate.md"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def notary(cast: Cast) -> Iterator[Notary]:
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()


@pytest.fixture
def placement(cast: Cast, notary: Notary) -> Placement:
    """In production, effective, attested, with a revocation list."""
    placement = to_production(cast, notary, study.study(cast))
    notary.release()
    call_command("notary", once=True)
    return placement


@pytest.fixture
def fetch(cast: Cast, tmp_path: Path) -> Callable[[], None]:
    """What `crivo bundle` fetches, into files."""

    def fetched() -> None:
        client = Client()
        lines = client.get(
            "/api/v1/models/progression/attestations", headers=cast.headers("pipeline")
        ).content
        listed = client.get("/api/v1/attestations/revoked")
        assert listed.status_code == 200, listed.content
        (tmp_path / "scoring.intoto.jsonl").write_bytes(lines + listed.content)
        (tmp_path / "jwks.json").write_bytes(client.get("/.well-known/jwks.json").content)
        (tmp_path / "model.skops").write_bytes(b"a model")

    return fetched


def crivo(*arguments: Any) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = main(["--json", *map(str, arguments)], console=Console(as_json=True, out=out, err=io.StringIO()))
    return code, json.loads(out.getvalue())


def gate_of(folder: Path, *more: Any, environment: str = "production") -> tuple[int, list[str]]:
    code, said = crivo(
        "gate", folder / "model.skops", "--environment", environment,
        "--offline", folder / "scoring.intoto.jsonl", "--jwks", folder / "jwks.json", *more,
    )  # fmt: skip
    return code, [reason["code"] for reason in said.get("reasons", [said])]


def test_yes_and_no_without_a_server(
    cast: Cast,
    placement: Placement,
    fetch: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetch()
    monkeypatch.delenv("CRIVO_URL", raising=False)
    monkeypatch.delenv("CRIVO_TOKEN", raising=False)
    assert gate_of(tmp_path) == (0, [])
    assert gate_of(tmp_path, "--max-age", "1h", "--model", "progression") == (0, [])
    assert gate_of(tmp_path, environment="homologation") == (0, [])
    assert gate_of(tmp_path, environment="moon") == (1, ["not_attested"])
    assert gate_of(tmp_path, "--model", "other") == (1, ["not_attested"])
    (tmp_path / "model.skops").write_bytes(b"a model!")
    assert gate_of(tmp_path) == (1, ["not_attested"])
    assert gate_of(tmp_path, "--at", "2026-01-01")[0] == 2
    assert gate_of(tmp_path, "--max-age", "soon")[0] == 2
    (tmp_path / "scoring.intoto.jsonl").write_text("{}\n")
    assert gate_of(tmp_path) == (2, ["bundle_malformed"])
    (tmp_path / "scoring.intoto.jsonl").unlink()
    assert gate_of(tmp_path) == (2, ["file_unreadable"])


@pytest.mark.parametrize("state", [PlacementState.SUSPENDED, PlacementState.WITHDRAWN])
def test_what_is_taken_back_is_listed_with_the_next_pass(
    cast: Cast,
    placement: Placement,
    fetch: Callable[[], None],
    tmp_path: Path,
    state: PlacementState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (suspend if state == PlacementState.SUSPENDED else withdraw)(cast, placement)
    fetch()
    assert gate_of(tmp_path)[0] == 0, "the list is the one from before"
    call_command("notary", once=True)
    fetch()
    assert gate_of(tmp_path) == (1, ["attestation_revoked"])
    assert gate_of(tmp_path, environment="homologation")[0] == 0, "the other placement is not concerned"
    newest = RevocationList.objects.latest("n")
    entry = revocations.entries_of(newest)[0]
    envelope = json.loads(Attestation.objects.get(promotion=placement.promotion_id).envelope)
    assert entry == {
        "promotion": str(placement.promotion_id),
        "attestation": {"sha256": offline.envelope_digest(envelope)},
        "status": str(state),
        "listedSince": f"{newest.issued_at:%Y-%m-%dT%H:%M:%S.%fZ}",
    }
    assert digest(envelope) == f"sha256:{offline.envelope_digest(envelope)}"
    event = Event.objects.filter(verb="revocations.issued").latest("at")
    assert (event.detail["sequence"], event.detail["revoked"]) == (newest.n, 1)
    if state == PlacementState.SUSPENDED:
        reinstate(cast, placement)
        call_command("notary", once=True)
        fetch()
        assert gate_of(tmp_path) == (0, [])


def test_a_predecessor_is_listed_once_its_successor_is_effective(
    cast: Cast, placement: Placement, notary: Notary
) -> None:
    assert notary.acquire()
    to_production(cast, notary, study.model_version(cast, b"another model"))
    assert revocations.revoked() == [], "until then it is the one that runs"
    notary.run_pass()
    (entry,) = revocations.revoked()
    assert (entry.promotion, entry.status) == (str(placement.promotion_id), "superseded")


def test_a_list_is_issued_at_changes_and_daily_and_not_otherwise(cast: Cast, placement: Placement) -> None:
    count = RevocationList.objects.count()
    with unchanged(refusals=0):
        call_command("notary", once=True)
    newest = RevocationList.objects.latest("n")
    assert RevocationList.objects.count() == count
    assert newest.next_update - newest.issued_at == timedelta(days=2)
    assert not revocations.due(newest.issued_at + timedelta(hours=23))
    assert revocations.due(newest.issued_at + timedelta(hours=24))


def test_the_list_is_public_and_has_an_etag(placement: Placement) -> None:
    answer = Client().get("/api/v1/attestations/revoked")
    again = Client().get("/api/v1/attestations/revoked", headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.status_code, again.status_code, again.content) == (200, 304, b"")
    envelope = Envelope.from_dict(json.loads(answer.content))
    keys = sslib_keys(Client().get("/.well-known/jwks.json").json())
    assert list(envelope.verify(keys, 1)) == [attestation_key().id]
    assert canonical(json.loads(envelope.payload)) == envelope.payload


def test_the_documented_way_with_securesystemslib(
    cast: Cast,
    placement: Placement,
    fetch: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetch()
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)

    def allowed() -> bool:
        names: dict[str, Any] = {}
        exec(program, names)
        return bool(names["allowed"])

    assert allowed()
    suspend(cast, placement)
    call_command("notary", once=True)
    fetch()
    assert not allowed()


def test_valid_for_of_the_policy_ends_an_attestation(cast: Cast, notary: Notary) -> None:
    version = study.study(cast)
    notary.release()
    study.put_in_force(cast, study.OPEN.format(environment="development") + "valid_for: 30d\n")
    study.ask(cast, version, "development")
    call_command("notary", once=True)
    (row,) = Attestation.objects.all()
    predicate = json.loads(base64.b64decode(json.loads(row.envelope)["payload"]))["predicate"]
    granted = offline.moment_of(predicate["grantedAt"])
    assert offline.moment_of(predicate["validUntil"]) == granted + timedelta(days=30)
    assert predicate["revocations"].endswith("/api/v1/attestations/revoked")
    lines = [json.loads(row.envelope), json.loads(RevocationList.objects.latest("n").envelope)]
    keys = keys_of(attestation_key())
    assert offline.check(DIGEST, "development", lines, keys).allowed
    fresh = [lines[0], listing(attestation_key(), at=granted + timedelta(days=30))]
    late = offline.check(DIGEST, "development", fresh, keys, now=granted + timedelta(days=30))
    assert [code for code, _ in late.reasons] == ["attestation_expired"]


# Without the service: what a forger can do to the files


def keys_of(*keys: AttestationKey, **validity: Any) -> dict[str, offline.Key]:
    return {
        key.id: offline.Key(
            key.id, key.private.public_key(), validity.get("since", 0), validity.get("until", float("inf"))
        )
        for key in keys
    }


NOW = datetime(2026, 6, 1, tzinfo=UTC)


def statement(key: AttestationKey, **changes: Any) -> dict[str, Any]:
    predicate = {
        "promotion": "p1", "environment": "production", "modelVersion": {"name": "scoring", "version": 1},
        "issuedAt": "2026-05-01T00:00:00Z", "effectiveAt": "2026-05-01T00:00:00Z", "validUntil": None,
        **changes.pop("predicate", {}),
    }  # fmt: skip
    body = {
        "_type": offline.STATEMENT,
        "subject": [{"name": "scoring@1", "digest": {"sha256": DIGEST[7:]}}],
        "predicateType": offline.PREDICATE,
        "predicate": predicate,
        **changes,
    }
    return key.sign(canonical(body))


def listing(
    key: AttestationKey, at: datetime = NOW - timedelta(hours=1), revoked: Any = (), **changes: Any
) -> dict[str, Any]:
    body = {
        "_type": offline.REVOCATIONS_TYPE,
        "sequence": 7,
        "issuedAt": at.isoformat(),
        "nextUpdate": (at + timedelta(days=2)).isoformat(),
        "revoked": list(revoked),
        **changes,
    }
    return key.sign(canonical(body), offline.REVOCATIONS)


def judged(envelopes: list[dict[str, Any]], keys: dict[str, offline.Key], **more: Any) -> list[str]:
    verdict = offline.check(DIGEST, "production", envelopes, keys, now=NOW, **more)
    assert verdict.allowed == (not verdict.reasons)
    return [code for code, _ in verdict.reasons]


def test_only_what_holds_in_every_part_is_a_yes() -> None:
    key, other = AttestationKey.generate(), AttestationKey.generate()
    keys, good, listed = keys_of(key), statement(key), listing(key)
    assert judged([good, listed], keys) == []
    assert judged([good], keys) == ["revocations_missing"]
    assert judged([statement(other), listed], keys) == ["key_unknown"]
    assert judged([good, listing(other)], keys) == ["key_unknown"]
    lying = statement(other)
    lying["signatures"][0]["keyid"] = key.id
    assert judged([lying, listed], keys) == ["signature_invalid"]
    assert judged([{**good, "signatures": []}, listed], keys) == ["key_unknown"]
    retyped = {**good, "payloadType": offline.REVOCATIONS}
    assert judged([retyped, listed], keys) == ["signature_invalid"]
    revoked = {"promotion": "p1", "attestation": {"sha256": "0" * 64}, "status": "suspended"}
    assert judged([good, listing(key, revoked=[revoked])], keys) == ["attestation_revoked"]
    by_digest = {**revoked, "promotion": "p2", "attestation": {"sha256": offline.envelope_digest(good)}}
    assert judged([good, listing(key, revoked=[by_digest])], keys) == ["attestation_revoked"]
    alone = {**by_digest, "promotion": None, "status": "key_compromised"}
    assert judged([good, listing(key, revoked=[alone])], keys) == ["attestation_revoked"]
    anew = statement(key, predicate={"issuedAt": "2026-05-02T00:00:00Z"})
    assert judged([good, anew, listing(key, revoked=[alone])], keys) == [], "of the same promotion"
    assert judged([good, anew, listing(key, revoked=[revoked])], keys) == ["attestation_revoked"]
    older = listing(key, revoked=[], sequence=6)
    newer = listing(key, revoked=[revoked])
    assert judged([good, newer, older], keys) == ["attestation_revoked"], "the newest list counts"
    assert judged([good, listing(key, NOW - timedelta(days=3))], keys) == ["revocations_stale"]
    assert judged([good, listing(key, NOW - timedelta(days=2))], keys) == ["revocations_stale"]
    assert judged([good, listed], keys, max_age=timedelta(minutes=59)) == ["revocations_stale"]
    assert judged([good, listed], keys, max_age=timedelta(minutes=60)) == []
    assert judged([good, listing(key, NOW + timedelta(hours=1))], keys) == ["revocations_from_the_future"]
    assert judged([good, listing(key, _type="x")], keys) == ["revocations_malformed"]
    expired = statement(key, predicate={"validUntil": NOW.isoformat()})
    assert judged([expired, listed], keys) == ["attestation_expired"]
    valid = statement(key, predicate={"validUntil": (NOW + timedelta(seconds=1)).isoformat()})
    assert judged([valid, listed], keys) == []
    assert judged([expired, valid, listed], keys) == [], "one that holds is enough"
    coming = statement(key, predicate={"issuedAt": (NOW + timedelta(days=1)).isoformat()})
    assert judged([coming, listed], keys) == ["not_yet_valid"]
    elsewhere = statement(key, predicate={"environment": "test"})
    assert judged([elsewhere, listed], keys) == ["not_attested"]
    assert judged([statement(key, predicateType="https://slsa.dev"), listed], keys) == ["not_attested"]
    assert judged([statement(key, predicate={"validUntil": "never"}), listed], keys) == [
        "statement_malformed"
    ]
    assert judged([statement(key, predicate={"validUntil": "2030-01-01"}), listed], keys) == [
        "statement_malformed"
    ]


def test_not_one_bit_of_the_payload_can_be_changed() -> None:
    key = AttestationKey.generate()
    keys, good, listed = keys_of(key), statement(key), listing(key)
    for envelope, others in ((good, [listed]), (listed, [good])):
        payload = base64.b64decode(envelope["payload"])
        for position in range(0, len(payload), 13):
            changed = payload[:position] + bytes([payload[position] ^ 1]) + payload[position + 1 :]
            forged = {**envelope, "payload": base64.b64encode(changed).decode()}
            assert judged([forged, *others], keys) != []


def test_a_key_vouches_only_for_the_time_it_was_in_use() -> None:
    key = AttestationKey.generate()
    may, june = datetime(2026, 5, 1, tzinfo=UTC).timestamp(), NOW.timestamp()
    envelopes = [statement(key), listing(key)]
    assert judged(envelopes, keys_of(key, since=may, until=june)) == []
    assert judged(envelopes, keys_of(key, since=may + 3600, until=june)) == ["key_not_in_use"]
    assert judged(envelopes, keys_of(key, since=may, until=may + 3600)) == ["key_not_in_use"]


def test_keys_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    good = dsse.jwk(AttestationKey.generate().private.public_key())
    for keys in (
        [],
        [{**good, "kid": "x"}],
        [{**good, "x": "AA"}],
        [{**good, "x": good["y"]}],
        [{"kty": "RSA"}],
    ):
        path.write_text(json.dumps({"keys": keys}))
        with pytest.raises(Usage):
            offline.read_keys(path)
    path.write_text(json.dumps({"keys": [good]}))
    assert list(offline.read_keys(path)) == [good["kid"]]
