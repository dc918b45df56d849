from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from audits.ledger import dsse, signing
from audits.ledger.signing import AttestationKey, attestation_key, checkpoint_key, jwks


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.CRIVO_KEYS = str(tmp_path / "keys")
    return tmp_path / "keys"


def test_every_key_is_made_once_and_only_its_owner_reads_it(folder: Path, capsys: Any) -> None:
    call_command("make_keys")
    names = {"row.key", "pepper.key", "sealing.key", "checkpoint.key", "attestation.key"}
    assert {path.name for path in folder.iterdir()} == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (folder / "pepper.key").unlink()
    assert signing.make_keys() == ["pepper"]
    assert {path: path.read_bytes() for path in folder.iterdir() if path.name != "pepper.key"} == {
        path: data for path, data in before.items() if path.name != "pepper.key"
    }
    said = capsys.readouterr().out
    assert all(data.decode().strip() not in said for data in before.values())


def test_keys_read_back(folder: Path, settings: Any) -> None:
    signing.make_keys()
    assert checkpoint_key().vkey.name == settings.CRIVO_ORIGIN
    key = attestation_key()
    assert key.id == AttestationKey.parse((folder / "attestation.key").read_text()).id
    assert AttestationKey.parse(key.text()).text() == key.text()
    assert dsse.verify(key.sign(b"x"), [key.private.public_key()])[0] == b"x"


def test_keys_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.make_keys()
    checkpoint, attestation = checkpoint_key(), attestation_key()
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setenv("CRIVO_KEY_CHECKPOINT", checkpoint.skey() + "\n")
    monkeypatch.setenv("CRIVO_KEY_ATTESTATION", attestation.text())
    assert checkpoint_key().vkey == checkpoint.vkey
    assert attestation_key().id == attestation.id


def test_a_missing_key_says_what_to_do(folder: Path) -> None:
    for load in (checkpoint_key, attestation_key):
        with pytest.raises(ImproperlyConfigured, match="make_keys"):
            load()


def test_a_key_of_another_log_is_refused(folder: Path, settings: Any) -> None:
    signing.make_keys()
    settings.CRIVO_ORIGIN = "elsewhere.example/log"
    with pytest.raises(ImproperlyConfigured, match="CRIVO_ORIGIN is elsewhere"):
        checkpoint_key()


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", "PRIVATE+KEY+a+00000000+AAAA", '{"kty": "EC"}'])
def test_what_is_no_key_is_not_repeated(folder: Path, text: str) -> None:
    signing.make_keys()
    for name, load in (("checkpoint", checkpoint_key), ("attestation", attestation_key)):
        (folder / f"{name}.key").write_text(text)
        with pytest.raises(ImproperlyConfigured) as error:
            load()
        assert len(text) < 3 or text not in str(error.value)


def test_halves_of_two_keys_are_none() -> None:
    one, two = json.loads(AttestationKey.generate().text()), json.loads(AttestationKey.generate().text())
    with pytest.raises(ValueError, match="does not belong"):
        AttestationKey.parse(json.dumps({**one, "d": two["d"]}))


def test_the_published_document_holds_no_secret_and_keeps_retired_keys() -> None:
    old, new = AttestationKey.generate(), AttestationKey.generate()
    first = jwks(old)
    assert [(item["kid"], item["nbf"], "exp" in item, "d" in item) for item in first["keys"]] == [
        (old.id, old.since, False, False)
    ]
    second = jwks(new, first)
    assert [item["kid"] for item in second["keys"]] == [new.id, old.id]
    assert second["keys"][1]["exp"] >= old.since
    assert jwks(new, second) == second, "publishing again changes nothing"
