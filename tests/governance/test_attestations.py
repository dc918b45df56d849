"""Attestations: issued once, after inclusion, and verified by software that is not ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from audits.actors import Command, system_actor
from audits.errors import Conflict
from audits.ledger import dsse
from audits.ledger.canonical import canonical
from audits.ledger.notary import Notary
from audits.ledger.signing import AttestationKey, attestation_key, checkpoint_key, make_keys
from audits.models import Event
from audits.verifier import verify_receipt
from governance import gate
from governance.models import Attestation, Promotion
from governance.services.attestations import PREDICATE, issue_attestation, issue_pending, statement
from governance.services.decisions import decide
from registry.models import ModelVersion
from tests import study
from tests.audits.trail import verified
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def notary(committed_cast: Cast, settings: Any, tmp_path: Path) -> Iterator[Notary]:
    settings.CRIVO_PUBLISH = str(tmp_path / "published")
    make_keys()
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()


def to_homologation(cast: Cast, notary: Notary, version: ModelVersion) -> Promotion:
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        notary.run_pass()
    promotion = study.finish_checks(study.ask(cast, version, "homologation"))
    decide(
        command=cast.command("bruno"),
        promotion_id=promotion.id,
        verdict="approve",
        reason="seen",
        dossier_digest=promotion.dossier_digest,
    )
    promotion.refresh_from_db()
    assert promotion.state == "granted"
    return promotion


def sslib_keys(document: dict[str, Any]) -> list[SSlibKey]:
    return [SSlibKey.from_crypto(dsse.public_key(item), keyid=item["kid"]) for item in document["keys"]]


def test_issued_after_inclusion_and_verified_by_securesystemslib(
    cast: Cast, notary: Notary, tmp_path: Path, client: Client
) -> None:
    version = study.study(cast)
    promotion = to_homologation(cast, notary, version)
    key = attestation_key()
    assert promotion.id not in issue_pending(key), "its grant is in no checkpoint yet"
    notary.run_pass()
    assert issue_pending(key) == [promotion.id]
    assert issue_pending(key) == []
    address = f"/api/v1/promotions/{promotion.id}/attestation"
    line = client.get(address, headers=cast.headers("pipeline")).content.decode()
    assert line.count("\n") == 1
    notary.release()
    call_command("notary", once=True)
    jwks = client.get("/.well-known/jwks.json").json()
    keys = sslib_keys(jwks)
    envelope = Envelope.from_dict(json.loads(line))
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert list(envelope.verify(keys, 1)) == [key.id]
    document = json.loads(envelope.payload)
    assert canonical(document) == envelope.payload
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == PREDICATE
    assert document["subject"] == [
        {"name": "progression@1", "digest": {"sha256": sha256(b"a model").hexdigest()}}
    ]
    predicate = document["predicate"]
    assert predicate["environment"] == "homologation"
    assert predicate["modelVersion"]["manifest"] == {"sha256": version.manifest_digest[7:]}
    assert predicate["policy"]["uri"] == "urn:crivo:policy:study-homologation:1"
    assert predicate["policy"]["digest"] == {"sha256": promotion.policy.digest[7:]}
    decision = promotion.decisions.get()
    assert [(review["reviewer"], review["role"], review["decision"]) for review in predicate["reviews"]] == [
        (str(cast.people["bruno"].id), "validator", "approve")
    ]
    assert predicate["reviews"][0]["at"] == f"{decision.created_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    run = promotion.checks.get().run
    assert [(item["kind"], item["basis"], item["digest"]) for item in predicate["evidence"]] == [
        ("bias.group_disparity", "computed", {"sha256": run.result_digest[7:]})
    ]
    assert predicate["validUntil"] is None
    log = predicate["log"]
    receipt, checkpoint = verify_receipt(log["receipt"].encode(), checkpoint_key().vkey)
    assert (receipt.index, checkpoint.origin) == (log["index"], log["origin"])
    assert (
        json.loads(receipt.extra or b"")["event_id"] == log["event"] == str(promotion.placement.granted_event)
    )
    event = Event.objects.get(verb="attestation.issued", subject_id=promotion.id)
    assert event.actor_kind == "system"
    assert event.evidence[0]["digest"] == f"sha256:{sha256(canonical(json.loads(line))).hexdigest()}"
    assert verified().verified


def test_nothing_of_an_attestation_can_be_changed(cast: Cast, notary: Notary) -> None:
    promotion = to_homologation(cast, notary, study.study(cast))
    notary.run_pass()
    key = attestation_key()
    issue_pending(key)
    envelope = json.loads(Attestation.objects.get(promotion=promotion).envelope)
    public = key.private.public_key()
    assert dsse.verify(envelope, [public])[1] == [key.id]
    payload = base64.b64decode(envelope["payload"])
    for position in range(0, len(payload), 97):
        changed = payload[:position] + bytes([payload[position] ^ 1]) + payload[position + 1 :]
        forged = {**envelope, "payload": base64.b64encode(changed).decode()}
        with pytest.raises(dsse.SignatureMismatchError):
            dsse.verify(forged, [public])
    other = AttestationKey.generate()
    foreign = Envelope.from_dict(json.loads(json.dumps(envelope)))
    with pytest.raises(VerificationError):
        foreign.verify([SSlibKey.from_crypto(other.private.public_key(), keyid=key.id)], 1)


def test_issued_once_however_often_it_is_asked(cast: Cast, notary: Notary) -> None:
    promotion = to_homologation(cast, notary, study.study(cast))
    notary.run_pass()
    command = Command(system_actor("notary", cast.workspace.id))
    first = issue_attestation(command=command, promotion_id=promotion.id, signer=attestation_key())
    again = issue_attestation(command=command, promotion_id=promotion.id, signer=AttestationKey.generate())
    assert (first.created, again.created) == (True, False)
    assert again.value.envelope == first.value.envelope
    assert Event.objects.filter(verb="attestation.issued", subject_id=promotion.id).count() == 1


def test_no_statement_about_a_grant_that_is_not_effective(cast: Cast, notary: Notary) -> None:
    promotion = to_homologation(cast, notary, study.study(cast))
    with pytest.raises(Conflict, match="attestation_pending"):
        statement(promotion)
    command = Command(system_actor("notary", cast.workspace.id))
    with unchanged(refusals=0), pytest.raises(Conflict, match="attestation_pending"):
        issue_attestation(command=command, promotion_id=promotion.id, signer=attestation_key())
    assert not Attestation.objects.filter(promotion=promotion).exists()


def test_the_command_does_it_all_and_the_gate_opens(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    version = study.study(cast)
    promotion = to_homologation(cast, notary, version)
    notary.release()
    assert not gate.ask(cast.workspace.id, version.artifact_digest, "homologation").allowed
    call_command("notary", once=True)
    assert gate.ask(cast.workspace.id, version.artifact_digest, "homologation").allowed
    assert set(Attestation.objects.values_list("promotion_id", flat=True)) == set(
        Promotion.objects.filter(state="granted").values_list("id", flat=True)
    )
    assert Attestation.objects.filter(promotion=promotion).exists()
    last = Event.objects.filter(verb="revocations.issued").get()
    assert last.leaf.index == Event.objects.count() - 1, "the notary's own events are published, too"
    assert {path.name for path in (tmp_path / "published").iterdir()} == {
        ".lock", "checkpoint", "checkpoints", "vkey", "vkeys.json", "jwks.json",
    }  # fmt: skip
    assert verified().verified


def test_one_that_cannot_be_attested_stops_no_other(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = study.ask(cast, study.study(cast), "development")
    second = study.ask(cast, study.model_version(cast, b"another"), "development")
    notary.run_pass()

    def broken(promotion: Promotion) -> dict[str, Any]:
        if promotion.id == first.id:
            raise KeyError("purpose")
        return statement(promotion)

    monkeypatch.setattr("governance.services.attestations.statement", broken)
    assert issue_pending(attestation_key()) == [second.id]
    assert str(first.id) in caplog.text
    monkeypatch.undo()
    assert issue_pending(attestation_key()) == [first.id]
