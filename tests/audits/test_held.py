"""Every key held by another process: the log is signed, attested and sealed, and no key lies here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from audits import held, keys
from audits.ledger import dsse
from audits.ledger.note import verify_checkpoint
from audits.ledger.rotation import RotationRefusedError, attestation_keys, checkpoint_keys, make_successor
from audits.ledger.signing import attestation_key, checkpoint_key, jwks, make_keys
from audits.ledger.verification import verify_ledger
from audits.models import Checkpoint, Event
from audits.sealing import text_of
from governance.services.keys import rotate_key
from governance.services.promotions import request_promotion
from tests import study
from tests.audits import key_holder
from tests.cast import Cast, make_cast

pytestmark = pytest.mark.django_db(transaction=True)
CACHED = (keys.row_key, keys.pepper, keys.sealing_key)


@pytest.fixture
def holder(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with tempfile.TemporaryDirectory(prefix="kh") as folder:  # short: a socket's path has 107 bytes
        path = os.path.join(folder, "s")
        process = subprocess.Popen(
            [sys.executable, key_holder.__file__, path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        monkeypatch.setenv("KEY_HOLDER", path)
        settings.CRIVO_KEY_PROVIDER = "tests.audits.key_holder.Held"
        settings.CRIVO_KEYS = str(tmp_path / "nothing")
        settings.CRIVO_PUBLISH = str(tmp_path / "published")
        for cached in CACHED:
            cached.cache_clear()
        keys._last_held.clear()
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()
            for cached in CACHED:
                cached.cache_clear()
            keys.look_again()
            keys._last_held.clear()


@pytest.fixture
def cast(holder: subprocess.Popen[str], transactional_db: None) -> Cast:
    return make_cast()


def test_everything_is_signed_by_the_holder(cast: Cast, tmp_path: Path) -> None:
    version = study.study(cast)
    promotion = request_promotion(
        command=cast.command("ana"), version_id=version.id, to="development", reason="ready"
    ).value
    study.sequence()
    vkey = checkpoint_key().vkey
    newest = Checkpoint.objects.order_by("-size")[0]
    assert verify_checkpoint(newest.note.encode(), vkey).size == newest.size
    report = verify_ledger(vkey)
    assert (report.verified, report.size) == (True, Event.objects.count())
    event = Event.objects.get(verb="promotion.requested", subject_id=promotion.id)
    assert text_of(event.id, "reason") == "ready"
    signer = attestation_key()
    envelope = signer.sign(b"{}")
    public = dsse.public_key(jwks(signer)["keys"][0])
    assert dsse.verify(envelope, [public]) == (b"{}", [signer.id])
    assert make_keys() == []
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(TypeError):
        signer.text()


def test_the_notary_works_with_it(cast: Cast) -> None:
    """The command itself, with jwks and attestations."""
    version = study.study(cast)
    study.finish_checks(study.ask(cast, version, "development"))
    call_command("notary", "--once")
    call_command("notary", "--once")
    published = Path(held.settings.CRIVO_PUBLISH)
    assert (published / "vkey").read_text().strip() == str(checkpoint_key().vkey)
    assert Event.objects.filter(verb="attestation.issued").count() == 1
    assert verify_ledger(checkpoint_key().vkey).verified


def test_rotation_is_made_there_and_announced_here(cast: Cast) -> None:
    shell = study.shell(cast)
    old = checkpoint_key().vkey
    event = rotate_key(command=shell, purpose="checkpoint", overlap=timedelta(minutes=5)).value
    study.sequence()
    pair = checkpoint_keys()
    assert (event.detail["old"], event.detail["new"]) == (str(old), str(pair.cosigners[0].vkey))
    newest = Checkpoint.objects.order_by("-size")[0]
    assert newest.size > event.leaf.index  # announced in what the old key signed
    assert verify_checkpoint(newest.note.encode(), old).size == newest.size
    with pytest.raises(RotationRefusedError):
        make_successor("checkpoint", int(time.time()) + 600)
    later = checkpoint_keys(time.time() + 600)
    assert (later.signer.vkey, later.cosigners) == (pair.cosigners[0].vkey, ())
    before = attestation_key().id
    event = rotate_key(command=shell, purpose="attestation", overlap=timedelta(minutes=5)).value
    assert (event.before, event.after) == (before, attestation_keys().announced[0].id)
    assert attestation_keys(time.time() + 600).current.id == event.after
    (row,) = keys.row_keys()
    event = rotate_key(command=shell, purpose="row", overlap=timedelta(minutes=5)).value
    assert [(found.id, found.until) for found in keys.row_keys()] == [
        (event.detail["old"], keys.row_keys()[1].since),
        (event.detail["new"], None),
    ]
    assert (row.id, keys.row_key_now()) == (event.detail["old"], row.key)
    with pytest.raises(RotationRefusedError):
        make_successor("row", int(time.time()) + 600)


def test_without_the_holder_nothing_is_signed(
    cast: Cast, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study.sequence()
    size = Checkpoint.objects.order_by("-size")[0].size
    monkeypatch.setenv("KEY_HOLDER", "/nowhere")
    from governance.services.policies import register_use_case

    register_use_case(command=cast.command("rita"), name="other", purpose="p", risk_tier="high")
    with pytest.raises(OSError):
        study.sequence()
    assert Checkpoint.objects.order_by("-size")[0].size == size


def test_what_is_no_key_is_refused(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_holder.Held, "line", lambda self, purpose: [(1, "attestation")])
    with pytest.raises(ImproperlyConfigured, match="no Ed25519"):
        checkpoint_key()
    monkeypatch.setattr(key_holder.Held, "public_key", lambda self, name: b"nonsense")
    with pytest.raises(ImproperlyConfigured, match="no DER"):
        attestation_key()
    monkeypatch.setattr(key_holder.Held, "secret", lambda self, name: b"short")
    keys.row_key.cache_clear()
    with pytest.raises(ImproperlyConfigured, match="too short"):
        keys.row_key()


def test_a_holder_that_signs_something_else_is_found_out(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    real = key_holder.Held.sign
    monkeypatch.setattr(key_holder.Held, "sign", lambda self, name, message: real(self, name, message + b"!"))
    with pytest.raises(held.BadSignatureError):
        study.sequence()
    with pytest.raises(held.BadSignatureError):
        attestation_key().sign(b"{}")
    assert not Checkpoint.objects.exists()
