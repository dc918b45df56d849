"""A live grant gets a fresh attestation: after a passed re-review, and after the key that signed it was stolen."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client

from audits.actors import Command, system_actor
from audits.ids import uuid7
from audits.ledger import rotation
from audits.ledger.notary import Notary
from audits.ledger.signing import attestation_key, checkpoint_key, make_keys
from audits.models import Event
from audits.roles import acting_as_notary
from governance import gate
from governance.client import offline
from governance.models import Attestation, Placement, PlacementReview, RevocationList
from governance.services import sweeps
from governance.services.attestations import issue_attestation, issue_pending
from governance.services.reviews import complete_review
from tests import study
from tests.cast import Cast
from tests.governance.exceptional import later, move
from tests.governance.test_at_once import at_once
from tests.governance.test_gate import reinstate, suspend, to_production, withdraw
from tests.governance.test_offline import DIGEST, crivo, listing
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
TERMS = "valid_for: 100d\nreview: {role: validator, notice: 10d}\n"


@pytest.fixture
def cast(committed_cast: Cast, tmp_path: Path) -> Iterator[Cast]:
    """With keys of its own: those of the session stay as they are."""
    kept = settings.CRIVO_KEYS
    settings.CRIVO_KEYS = str(tmp_path / "keys")
    (tmp_path / "keys").mkdir()
    for name in ("row", "pepper"):
        shutil.copy(Path(kept) / f"{name}.key", tmp_path / "keys")
    make_keys()
    yield committed_cast
    settings.CRIVO_KEYS = kept


def in_production(cast: Cast, terms: str = TERMS) -> Placement:
    """In production under these terms, effective; not attested yet."""
    version = study.study(cast)
    study.put_in_force(cast, study.PRODUCTION + terms)
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    placement = to_production(cast, notary, version)
    notary.run_pass()
    notary.release()
    return placement


def notary() -> None:
    call_command("notary", once=True)


def attested(placement: Placement) -> list[Attestation]:
    return list(Attestation.objects.filter(promotion=placement.promotion_id).order_by("n"))


def said(row: Attestation) -> dict[str, Any]:
    predicate: dict[str, Any] = json.loads(base64.b64decode(json.loads(row.envelope)["payload"]))["predicate"]
    return predicate


def newest_list() -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(RevocationList.objects.latest("n").envelope)
    return envelope


def entries() -> list[tuple[str | None, str]]:
    payload = json.loads(base64.b64decode(newest_list()["payload"]))
    return [(entry["promotion"], entry["status"]) for entry in payload["revoked"]]


@pytest.fixture
def ask_offline(cast: Cast, tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """`crivo gate` with what a deploy job fetches, or with `lines` of its own choice and the newest list."""
    bundle, keys = tmp_path / "scoring.intoto.jsonl", tmp_path / "jwks.json"

    def asked(*lines: Attestation) -> tuple[int, list[str]]:
        client = Client()
        told = client.get("/api/v1/models/progression/attestations", headers=cast.headers("pipeline")).content
        if lines:
            told = "".join(f"{row.envelope}\n" for row in lines).encode()
        bundle.write_bytes(told + client.get("/api/v1/attestations/revoked").content)
        keys.write_bytes(client.get("/.well-known/jwks.json").content)
        code, answer = crivo(
            "gate", DIGEST, "--environment", "production", "--offline", bundle, "--jwks", keys
        )
        return code, [reason["code"] for reason in answer.get("reasons", [answer])]

    return asked


# A passed re-review


def reviewed(cast: Cast, placement: Placement) -> PlacementReview:
    """The re-review that fell due is passed; its event is not published yet."""
    sweeps.sweep()
    review = PlacementReview.objects.get(placement=placement, state="open")
    return complete_review(
        command=cast.command("bruno"), review_id=review.id, reason="Drift within bounds."
    ).value


def test_a_passed_review_brings_a_fresh_one_and_leaves_the_old_as_it_is(
    cast: Cast, ask_offline: Callable[..., tuple[int, list[str]]]
) -> None:
    placement = in_production(cast)
    move("governance_placement", placement.id, created_at=later(timedelta(days=-95)))
    notary()
    (first,) = attested(placement)
    placement.refresh_from_db()
    due = placement.created_at + timedelta(days=100)
    assert offline.moment_of(said(first)["validUntil"]) == due
    assert ask_offline() == (0, [])

    review = reviewed(cast, placement)
    assert issue_pending(attestation_key()) == [], "a renewal waits for its checkpoint"
    notary()
    old, new = attested(placement)
    assert (old.n, new.n, new.because) == (1, 2, review.completed_event)
    assert old.envelope == first.envelope
    assert review.completed_at is not None
    renewed = review.completed_at + timedelta(days=100)
    assert offline.moment_of(said(new)["validUntil"]) == renewed
    for name in ("promotion", "grantedAt", "reviews", "evidence", "modelVersion", "policy"):
        assert said(new)[name] == said(old)[name]
    event = Event.objects.filter(verb="attestation.issued", subject_id=placement.promotion_id).latest("at")
    assert (event.detail["n"], event.detail["because"]) == (2, str(review.completed_event))
    served = Client().get(
        f"/api/v1/promotions/{placement.promotion_id}/attestation", headers=cast.headers("pipeline")
    )
    assert served.content.decode() == new.envelope + "\n"
    assert entries() == [], "the old one holds until it ends"
    assert ask_offline() == ask_offline(old) == ask_offline(new) == (0, [])
    with unchanged(refusals=0):
        notary()

    # A day after the old one has ended.
    after = due + timedelta(days=1)
    keys = offline.read_keys(Path(settings.CRIVO_PUBLISH) / "jwks.json")
    lines = [json.loads(old.envelope), json.loads(new.envelope), listing(attestation_key(), at=after)]
    assert offline.check(DIGEST, "production", lines, keys, now=after).allowed
    late = offline.check(DIGEST, "production", [lines[0], lines[2]], keys, now=after)
    assert [code for code, _ in late.reasons] == ["attestation_expired"]

    # What is withdrawn takes all of its attestations with it.
    withdraw(cast, placement)
    notary()
    assert entries() == [(str(placement.promotion_id), "withdrawn")] * 2
    assert ask_offline() == ask_offline(old) == ask_offline(new) == (1, ["attestation_revoked"])


def test_overdue_it_is_revoked_and_the_passed_review_opens_it_again(
    cast: Cast, ask_offline: Callable[..., tuple[int, list[str]]]
) -> None:
    placement = in_production(cast)
    notary()
    move("governance_placement", placement.id, created_at=later(timedelta(days=-100)))
    sweeps.sweep()
    notary()
    assert entries() == [(str(placement.promotion_id), "blocked")]
    assert ask_offline() == (1, ["attestation_revoked"])
    reviewed(cast, placement)
    notary()
    assert entries() == []
    assert [row.n for row in attested(placement)] == [1, 2]
    assert ask_offline() == (0, [])


def test_what_the_gate_refuses_is_attested_once_it_opens(cast: Cast) -> None:
    placement = in_production(cast)
    move("governance_placement", placement.id, created_at=later(timedelta(days=-95)))
    notary()
    reviewed(cast, placement)
    suspend(cast, placement)
    notary()
    assert [row.n for row in attested(placement)] == [1]
    reinstate(cast, placement)
    notary()
    assert [row.n for row in attested(placement)] == [1, 2]


@pytest.mark.parametrize(
    ("terms", "days"),
    [
        ("valid_for: 100d\n", 100),
        ("valid_for: 100d\nreview: {overdue: warn}\n", 100),
        ("", 180),  # by the tier of the use case, which is high
        ("review: {overdue: warn}\n", None),  # the gate does not shut for it
    ],
)
def test_none_outlives_the_day_on_which_the_gate_shuts(cast: Cast, terms: str, days: int | None) -> None:
    placement = in_production(cast, terms)
    notary()
    (row,) = attested(placement)
    told = said(row)["validUntil"]
    if days is None:
        assert told is None
        return
    placement.refresh_from_db()
    # The policy counts from the grant, the gate from the placement that it made: whichever comes first.
    begins = [offline.moment_of(said(row)["grantedAt"])] if "valid_for" in terms else []
    begins += [placement.created_at] if "warn" not in terms else []
    assert offline.moment_of(told) == min(begins) + timedelta(days=days)


# A stolen key


def stolen() -> str:
    """The key that signs attestations is replaced because somebody else may hold it; its name."""
    old = rotation.attestation_keys().current.id
    call_command("rotate_key", "attestation", compromised="INC-9: a copy of the key was found")
    return old


def test_a_live_grant_is_attested_anew_after_its_key_was_stolen(
    cast: Cast, ask_offline: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    placement = in_production(cast)
    notary()
    notary()
    (first,) = attested(placement)
    old_keys = json.loads((Path(settings.CRIVO_PUBLISH) / "jwks.json").read_text())["keys"]
    assert ask_offline() == (0, [])
    key = stolen()
    assert ask_offline() == (1, ["not_attested"]), "what it signed is handed out no more, at once"
    notary()
    notary()
    old, new = attested(placement)
    event = Event.objects.get(verb="key.rotated")
    assert (old.envelope, old.key_id, new.because) == (first.envelope, key, event.id)
    assert new.key_id == rotation.attestation_keys().current.id == event.detail["new"]
    assert said(new)["validUntil"] == said(old)["validUntil"]
    assert gate.ask(cast.workspace.id, DIGEST, "production").allowed
    assert ask_offline() == ask_offline(old, new) == (0, [])
    assert ask_offline(old) == (1, ["key_unknown"])

    # Whoever still trusts the stolen key: it is listed by its own digest, and the grant is not.
    assert (None, "key_compromised") in entries()
    assert str(placement.promotion_id) not in {promotion for promotion, _ in entries()}
    both = json.loads((Path(settings.CRIVO_PUBLISH) / "jwks.json").read_text())
    both["keys"] += [{name: value for name, value in item.items() if name != "exp"} for item in old_keys]
    (tmp_path / "both.json").write_text(json.dumps(both))
    keys = offline.read_keys(tmp_path / "both.json")
    alone = offline.check(DIGEST, "production", [json.loads(old.envelope), newest_list()], keys)
    assert [code for code, _ in alone.reasons] == ["attestation_revoked"]
    lines = [json.loads(row.envelope) for row in (old, new)]
    assert offline.check(DIGEST, "production", [*lines, newest_list()], keys).allowed
    with unchanged(refusals=0):
        notary()

    # A suspension revokes both.
    suspend(cast, placement)
    notary()
    assert ask_offline(new) == ask_offline() == (1, ["attestation_revoked"])
    assert {status for promotion, status in entries() if promotion} == {"suspended"}


def test_an_ordinary_rotation_brings_no_new_attestation(cast: Cast) -> None:
    placement = in_production(cast)
    notary()
    call_command("rotate_key", "attestation", overlap="7d")
    notary()
    notary()
    assert [row.n for row in attested(placement)] == [1]
    assert entries() == []


def test_nothing_is_signed_anew_with_the_stolen_key_itself(cast: Cast) -> None:
    placement = in_production(cast)
    notary()
    thief = attestation_key()
    stolen()
    with unchanged(refusals=0):
        assert issue_pending(thief) == []
    assert [row.n for row in attested(placement)] == [1]


# Once for each cause, and append-only


def test_once_for_each_cause_however_many_ask_at_once(cast: Cast) -> None:
    placement = in_production(cast)
    notary()
    cause, signer = uuid7(), attestation_key()

    def attest() -> bool:
        command = Command(system_actor("notary", cast.workspace.id))
        return issue_attestation(
            command=command, promotion_id=placement.promotion_id, signer=signer, because=cause
        ).created

    assert sorted(at_once(attest, attest, attest)) == [False, False, True]
    assert [(row.n, row.because) for row in attested(placement)] == [(1, None), (2, cause)]
    row = attested(placement)[1]
    for fields in ({"n": 2, "because": uuid7()}, {"n": 3, "because": cause}):
        with pytest.raises(IntegrityError), acting_as_notary(), transaction.atomic():
            Attestation.objects.create(promotion_id=row.promotion_id, envelope="{}", key_id="k", **fields)
    for statement in ("UPDATE governance_attestation SET n = 9", "DELETE FROM governance_attestation"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
