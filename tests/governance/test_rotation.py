"""Keys are replaced while everything stays verifiable: with the old one, with the new one, and years later."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.errors import Forbidden
from audits.ledger import rotation
from audits.ledger.note import VerifierKey, verify_checkpoint
from audits.ledger.signing import make_keys
from audits.models import Event, Leaf, Quarantine
from audits.verifier import SignatureMismatchError, verify_receipt
from governance.client import offline
from governance.models import Attestation, Placement, RevocationList
from governance.services.keys import rotate_key
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
WEEK = 7 * 86400


@pytest.fixture
def cast(committed_cast: Cast, tmp_path: Path) -> Iterator[Cast]:
    """With keys of its own: those of the session stay as they are."""
    kept = settings.CRIVO_KEYS
    row, pepper = ((Path(kept) / f"{name}.key").read_text() for name in ("row", "pepper"))
    settings.CRIVO_KEYS = str(tmp_path / "keys")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "row.key").write_text(row)
    (tmp_path / "keys" / "pepper.key").write_text(pepper)
    make_keys()
    yield committed_cast
    settings.CRIVO_KEYS = kept


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The notary's keys as they are `seconds` from now."""
    real = time.time
    monkeypatch.setattr(rotation.time, "time", lambda: real() + seconds)


def published() -> Path:
    return Path(settings.CRIVO_PUBLISH)


def checkpoint_signed_by(*keys: VerifierKey) -> list[bool]:
    note = (published() / "checkpoint").read_bytes()
    found = []
    for key in keys:
        try:
            verify_checkpoint(note, key)
            found.append(True)
        except SignatureMismatchError:
            found.append(False)
    return found


def test_attestations_of_before_and_after_verify(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = study.study(cast)
    study.ask(cast, version, "development")
    call_command("notary", once=True)
    old = rotation.attestation_keys().current
    call_command("rotate_key", "attestation", overlap="7d")
    call_command("notary", once=True)
    keys = rotation.attestation_keys()
    assert (keys.current.id, len(keys.announced)) == (old.id, 1)
    new = keys.announced[0]
    document = json.loads((published() / "jwks.json").read_text())
    assert [(key["kid"], key.get("exp")) for key in document["keys"]] == [(old.id, new.since), (new.id, None)]
    assert abs(new.since - time.time() - WEEK) < 60
    event = Event.objects.get(verb="key.rotated")
    assert (event.before, event.after) == (old.id, new.id)
    study.ask(cast, version, "test")
    call_command("notary", once=True)
    assert set(Attestation.objects.values_list("key_id", flat=True)) == {old.id}, "the old one still signs"

    later(monkeypatch, WEEK + 1)
    second = study.model_version(cast, b"another model")
    study.ask(cast, second, "development")
    call_command("notary", once=True)
    assert Attestation.objects.get(promotion__version=second).key_id == new.id
    assert RevocationList.objects.latest("n").key_id == old.id, "it is not due yet"
    again = json.loads((published() / "jwks.json").read_text())
    assert [(key["kid"], key.get("exp")) for key in again["keys"]] == [(new.id, None), (old.id, new.since)]
    keys_known = offline.read_keys(published() / "jwks.json")
    for row in Attestation.objects.all():
        _, signers = offline.opened(json.loads(row.envelope), keys_known)
        assert [key.id for key in signers] == [row.key_id]
    lines = [json.loads(row.envelope) for row in Attestation.objects.filter(promotion__version=version)]
    lines.append(json.loads(RevocationList.objects.latest("n").envelope))
    assert offline.check(version.artifact_digest, "test", lines, keys_known).allowed
    # The old private key is gone, its public half stays published.
    (Path(settings.CRIVO_KEYS) / "attestation.key").write_text(new.text())
    study.ask(cast, second, "test")
    call_command("notary", once=True)
    assert old.id in {key["kid"] for key in json.loads((published() / "jwks.json").read_text())["keys"]}


def test_checkpoints_are_signed_by_both_until_the_new_key_signs_alone(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = study.study(cast)
    study.ask(cast, version, "development")
    call_command("notary", once=True)
    old = rotation.checkpoint_keys().signer.vkey
    assert (published() / "vkey").read_text() == f"{old}\n"
    receipt = json_receipt(Attestation.objects.get())
    call_command("rotate_key", "checkpoint", overlap="7d")
    new = rotation.checkpoint_keys().cosigners[0].vkey
    assert (new.name, new.id != old.id) == (old.name, True)
    call_command("notary", once=True)
    assert checkpoint_signed_by(old, new) == [True, True]
    assert (published() / "vkey").read_text() == f"{new}\n"
    assert (published() / "vkeys").read_text() == f"{new}\n{old}\n"
    call_command("verify_ledger")
    call_command("verify_ledger", vkey=[str(old)])

    later(monkeypatch, WEEK + 1)
    study.ask(cast, version, "test")
    call_command("notary", once=True)
    assert checkpoint_signed_by(old, new) == [False, True]
    call_command("verify_ledger")
    call_command("verify_ledger", vkey=[str(new), str(old)])
    with pytest.raises(SystemExit):
        call_command("verify_ledger", vkey=[str(new)])  # what the old key signed alone needs the old key
    assert verify_receipt(receipt, old)
    assert verify_receipt(json_receipt(Attestation.objects.latest("issued_at")), new)
    assert Placement.objects.count() == 2


def json_receipt(row: Attestation) -> bytes:
    import base64

    payload = json.loads(base64.b64decode(json.loads(row.envelope)["payload"]))
    return str(payload["predicate"]["log"]["receipt"]).encode()


@pytest.mark.parametrize("purpose", ["attestation", "checkpoint"])
def test_one_rotation_at_a_time(cast: Cast, purpose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("rotate_key", purpose, overlap="1d")
    files = sorted(path.name for path in Path(settings.CRIVO_KEYS).iterdir())
    (made,) = Path(settings.CRIVO_KEYS).glob(f"{purpose}.*.key")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    with unchanged(refusals=1), pytest.raises(CommandError, match="being replaced"):
        call_command("rotate_key", purpose, overlap="1d")
    assert sorted(path.name for path in Path(settings.CRIVO_KEYS).iterdir()) == files
    later(monkeypatch, 86401)
    call_command("rotate_key", purpose, overlap="2d")
    assert len(list(Path(settings.CRIVO_KEYS).glob(f"{purpose}.*.key"))) == 2


@pytest.mark.parametrize("overlap", ["91d", "99999d", "soon", "0d"])
def test_an_overlap_that_is_none(cast: Cast, overlap: str) -> None:
    before = os.listdir(settings.CRIVO_KEYS)
    with pytest.raises(CommandError):
        call_command("rotate_key", "attestation", overlap=overlap)
    assert os.listdir(settings.CRIVO_KEYS) == before


def test_nobody_rotates_keys_but_whoever_runs_the_installation(cast: Cast) -> None:
    for name in ("ana", "rita", "pipeline"):
        with unchanged(refusals=1), pytest.raises(Forbidden):
            rotate_key(command=cast.command(name), purpose="attestation", overlap=timedelta(days=1))
    assert not list(Path(settings.CRIVO_KEYS).glob("attestation.*.key"))


def test_a_key_that_could_not_be_announced_is_none(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr("governance.services.keys.record", fail)
    with pytest.raises(RuntimeError):
        rotate_key(
            command=Command(system_actor("shell", cast.workspace.id)),
            purpose="attestation",
            overlap=timedelta(days=1),
        )
    assert not list(Path(settings.CRIVO_KEYS).glob("attestation.*.key"))


def test_a_key_from_the_environment_is_not_replaced_here(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(settings.CRIVO_KEYS) / "attestation.key").read_text()
    monkeypatch.setenv("CRIVO_KEY_ATTESTATION", text)
    with unchanged(refusals=1), pytest.raises(CommandError, match="environment"):
        call_command("rotate_key", "attestation", overlap="1d")


def test_a_compromised_attestation_key_is_followed_at_once_and_no_longer_published(cast: Cast) -> None:
    """The documented procedure: rotate with --compromised; what the old key signed is refused offline from then on."""
    version = study.study(cast)
    study.ask(cast, version, "development")
    call_command("notary", once=True)
    call_command("notary", once=True)
    old = rotation.attestation_keys().current
    line = json.loads(Attestation.objects.get().envelope)
    call_command("rotate_key", "attestation", compromised="INC-9: a copy of the key was found")
    call_command("notary", once=True)
    new = rotation.attestation_keys().current
    assert new.id != old.id
    event = Event.objects.get(verb="key.rotated")
    assert (event.before, event.after, event.detail["compromised"]) == (old.id, new.id, True)
    document = json.loads((published() / "jwks.json").read_text())
    assert [key["kid"] for key in document["keys"]] == [new.id]
    known = offline.read_keys(published() / "jwks.json")
    revoked = json.loads(RevocationList.objects.latest("n").envelope)
    assert not offline.check(version.artifact_digest, "development", [line, revoked], known).allowed
    # The gate itself answers as before, and what is granted from now on is attested by the new key.
    study.ask(cast, version, "test")
    call_command("notary", once=True)
    call_command("notary", once=True)
    assert set(Attestation.objects.exclude(key_id=old.id).values_list("key_id", flat=True)) == {new.id}


def test_a_compromised_checkpoint_key_signs_no_more_and_is_named(cast: Cast) -> None:
    study.study(cast)
    call_command("notary", once=True)
    old = rotation.checkpoint_keys().signer.vkey
    kept = (published() / "checkpoint").read_bytes()
    call_command("rotate_key", "checkpoint", compromised="INC-10: the host was broken into")
    call_command("notary", once=True)
    new = rotation.checkpoint_keys().signer.vkey
    assert checkpoint_signed_by(old, new) == [False, True]
    validity = json.loads((published() / "vkeys.json").read_text())
    assert [(row["vkey"], row.get("compromised", False)) for row in validity] == [
        (str(new), False),
        (str(old), True),
    ]
    assert validity[1]["until"] == validity[0]["from"]
    assert validity[0]["until"] is None
    # An auditor who trusts the new key alone still sees that the log only grew from what they kept.
    from audits.ledger.verification import verify_ledger

    report = verify_ledger(new, (published() / "checkpoint").read_bytes(), kept, others=[old])
    assert report.verified, report.findings


def test_the_sealing_key_is_replaced(cast: Cast, tmp_path: Path) -> None:
    from audits import keys as held_here
    from audits.sealing import text_of

    version = study.study(cast)
    study.ask(cast, version, "development", name="ana")
    event = Event.objects.get(verb="promotion.requested")
    old = tmp_path / "sealing.old"
    path = Path(settings.CRIVO_KEYS) / "sealing.key"
    old.write_text(held_here.sealing_key().hex())
    path.unlink(missing_ok=True)
    held_here.make_secret("sealing")
    held_here.sealing_key.cache_clear()
    try:
        with pytest.raises(ValueError, match="does not open"):
            text_of(event.id, "reason")
        call_command("rewrap_keys", str(old))
        assert text_of(event.id, "reason") == "ready for the next step"
        call_command("rewrap_keys", str(old))  # once more: they are under it already
        assert text_of(event.id, "reason") == "ready for the next step"
        path.unlink()
        held_here.make_secret("sealing")
        held_here.sealing_key.cache_clear()
        with pytest.raises(CommandError, match="Nothing was changed"):
            call_command("rewrap_keys", str(old))  # neither of the two opens them
    finally:
        held_here.sealing_key.cache_clear()


# --- the row key, pepper, sealing key ------------------------------------------------------------------------


@pytest.fixture
def row_key_of_its_own(cast: Cast) -> Iterator[None]:
    """Successors are looked for once a second: not those of a folder of another test."""
    from audits.keys import look_again

    look_again()
    yield
    look_again()


def hours(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Every process `seconds` from now: which row key is used, and how late the database says it is."""
    from audits import keys as held_here
    from audits.ledger import record as ledger

    real, locked = time.time, ledger._locked_head
    monkeypatch.setattr(held_here.time, "time", lambda: real() + seconds)

    def late(*args: Any, **more: Any) -> Any:
        head = locked(*args, **more)
        return head._replace(now=head.now + timedelta(seconds=seconds))

    monkeypatch.setattr(ledger, "_locked_head", late)


def forged(key: bytes, at: datetime) -> UUID:
    """An event that somebody with the service's role and this row key writes, dated `at`."""
    from django.db import transaction

    from audits.ledger import record as ledger
    from tests.audits.trail import write

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "row_key_now", lambda: key)
        locked = ledger._locked_head
        patch.setattr(ledger, "_locked_head", lambda *a, **m: locked(*a, **m)._replace(now=at))
        with transaction.atomic():
            return write(1)[0].id


def put_aside() -> dict[UUID, str]:
    return dict(Quarantine.objects.values_list("event_id", "code"))


def test_the_row_key_is_replaced_without_an_event_that_does_not_verify(
    cast: Cast, row_key_of_its_own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audits.keys import row_keys
    from audits.ledger.record import mac_of

    version = study.study(cast)
    call_command("notary", once=True)
    call_command("rotate_key", "row", overlap="1d")
    old, new = row_keys()
    assert (old.until, new.until) == (new.since, None)
    (made,) = Path(settings.CRIVO_KEYS).glob("row.*.key")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    told = Event.objects.get(verb="key.rotated")
    assert (told.detail["purpose"], told.detail["old"], told.detail["new"]) == ("row", old.id, new.id)
    assert new.key.hex() not in str(told.detail)
    assert told.mac == mac_of(envelope(told), old.key), "announced under the old one"
    with unchanged(refusals=1), pytest.raises(CommandError, match="being replaced"):
        call_command("rotate_key", "row", overlap="1d")
    call_command("notary", once=True)
    study.ask(cast, version, "development")
    waiting = Event.objects.filter(leaf=None).latest("at")
    assert waiting.mac == mac_of(envelope(waiting), old.key)

    hours(monkeypatch, 86400 + 3600)
    call_command(
        "notary", once=True
    )  # an event of before, sequenced long after: a transaction that was open for hours
    second = study.model_version(cast, b"another model")
    study.ask(cast, second, "development")
    newest = Event.objects.filter(subject_kind="promotion").latest("at")
    assert newest.mac == mac_of(envelope(newest), new.key)
    stale = forged(old.key, newest.at)  # a host that never got the new key
    call_command("notary", once=True)
    assert put_aside() == {stale: "key_over"}
    assert not Event.objects.filter(leaf=None).exclude(id=stale).exists()
    assert {finding.code for finding in report().findings} == {"quarantined"}


def test_a_stolen_row_key_marks_nothing_from_then_on(
    cast: Cast, row_key_of_its_own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented procedure. What its thief writes afterwards is put aside, however it is dated back."""
    from audits.keys import row_keys
    from audits.ledger import notary as sequencing

    study.study(cast)
    call_command("notary", once=True)
    genuine = forged(row_keys()[0].key, timezone.now())  # written by the service, and still on its way
    call_command("rotate_key", "row", compromised="INC-11: a copy of the key was found")
    old, new = row_keys()
    told = Event.objects.get(verb="key.rotated")
    assert (told.detail["old"], told.detail["new"], told.detail["compromised"]) == (old.id, new.id, True)
    call_command("notary", once=True)
    assert put_aside() == {}
    assert Leaf.objects.filter(event_id=genuine).exists()
    real = time.time
    monkeypatch.setattr(sequencing.time, "time", lambda: real() + 120)
    dated_back = [forged(old.key, timezone.now() - timedelta(days=days)) for days in (0, 30)]
    good = forged(new.key, timezone.now())
    call_command("notary", once=True)
    assert put_aside() == dict.fromkeys(dated_back, "key_over")
    assert Leaf.objects.filter(event_id=good).exists()
    assert {finding.code for finding in report().findings} == {"quarantined"}


def envelope(event: Event) -> bytes:
    from audits.ledger.entry import body_of

    return body_of(Event.objects.get(id=event.id), event.workspace.salt).envelope


def report() -> Any:
    from tests.audits.trail import verified

    return verified()


def test_a_row_key_from_the_environment_is_not_replaced_here(
    cast: Cast, row_key_of_its_own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIVO_KEY_ROW", "ab" * 32)
    with unchanged(refusals=1), pytest.raises(CommandError, match="environment"):
        call_command("rotate_key", "row", overlap="1d")


def test_the_sealing_key_is_replaced_with_an_event_and_taken_up_after_a_crash(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audits import keys as held_here
    from audits.sealing import text_of

    folder = Path(settings.CRIVO_KEYS)
    (folder / "sealing.key").write_text(held_here.sealing_key().hex())
    version = study.study(cast)
    study.ask(cast, version, "development", name="ana")
    event = Event.objects.get(verb="promotion.requested")
    before = held_here.sealing_key()
    with monkeypatch.context() as patch:
        patch.setattr(held_here.Replacement, "swap", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call_command("rotate_key", "sealing")
    try:
        call_command("rotate_key", "sealing", compromised="INC-12: a backup was lost")
        assert held_here.sealing_key() != before
        assert text_of(event.id, "reason") == "ready for the next step"
        told = Event.objects.filter(verb="key.rotated").latest("at")
        fingerprints = [held_here.fingerprint(key) for key in (before, held_here.sealing_key())]
        assert [told.detail["old"], told.detail["new"]] == fingerprints
        assert (told.detail["purpose"], told.detail["compromised"]) == ("sealing", True)
        (aside,) = folder.glob("sealing.*.old")
        assert (stat.S_IMODE(aside.stat().st_mode), (folder / "sealing.next.key").exists()) == (0o600, False)
        call_command("notary", once=True)
        assert report().findings == []
    finally:
        for known in (held_here.row_key, held_here.pepper, held_here.sealing_key):
            known.cache_clear()


def test_with_another_pepper_no_token_of_before_works(cast: Cast) -> None:
    from django.test import Client

    from audits import keys as held_here

    def status(text: str) -> int:
        return Client().get("/api/v1/datasets", HTTP_AUTHORIZATION=f"Bearer {text}").status_code

    old = cast.token("pipeline")
    assert status(old) == 200
    try:
        call_command("rotate_key", "pepper", compromised="INC-13: the file was copied")
        assert status(old) == 401
        told = Event.objects.get(verb="key.rotated")
        assert (told.detail["purpose"], told.detail["compromised"]) == ("pepper", True)
        assert told.detail["new"] == held_here.fingerprint(held_here.pepper())
    finally:
        for known in (held_here.row_key, held_here.pepper, held_here.sealing_key):
            known.cache_clear()


@pytest.mark.parametrize("purpose", ["row", "pepper", "sealing"])
def test_nobody_replaces_these_keys_either(cast: Cast, purpose: Any, row_key_of_its_own: None) -> None:
    from governance.services.keys import note_replacement

    for name in ("ana", "rita", "pipeline"):
        if purpose == "row":
            call = partial(rotate_key, purpose=purpose, overlap=timedelta(days=1))
        else:
            call = partial(note_replacement, purpose=purpose, old="sha256:a", new="sha256:b")
        with unchanged(refusals=1), pytest.raises(Forbidden):
            call(command=cast.command(name))
    assert not [*Path(settings.CRIVO_KEYS).glob("*.*.key")]
