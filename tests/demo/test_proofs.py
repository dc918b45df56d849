"""The checks of the story must be able to fail: each is shown what is wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from audits.ledger import dsse
from governance.demo import proofs, tamper
from governance.demo.run import main as run_main

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": "a" * 64}}]}


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def envelope(key: ec.EllipticCurvePrivateKey, statement: Any = STATEMENT, **options: str) -> dict[str, Any]:
    return dsse.sign(json.dumps(statement).encode(), key, **options)


def jwks(*keys: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return dsse.jwks([dsse.PublishedKey(key.public_key(), 0) for key in keys])


def attested(found: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    return proofs.attested(json.dumps(found).encode(), keys)


def test_what_was_signed_is_read(key: ec.EllipticCurvePrivateKey) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert attested(envelope(key), jwks(other, key)) == STATEMENT


def test_another_key(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(proofs.ProofError, match="none of the keys"):
        attested(envelope(key), jwks(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(proofs.ProofError, match="none of the keys"):
        attested(envelope(key), {"keys": []})


def test_another_payload_or_type(key: ec.EllipticCurvePrivateKey) -> None:
    signed = envelope(key)
    changed = json.dumps({**STATEMENT, "subject": []}).encode()
    with pytest.raises(proofs.ProofError, match="none of the keys"):
        attested({**signed, "payload": base64.b64encode(changed).decode()}, jwks(key))
    with pytest.raises(proofs.ProofError, match="no in-toto statement"):
        attested({**signed, "payloadType": "text/plain"}, jwks(key))
    with pytest.raises(proofs.ProofError, match="version 1"):
        attested(envelope(key, {"_type": "https://in-toto.io/Statement/v0.1"}), jwks(key))


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b"[]", b'{"payloadType": "x", "payload": "!", "signatures": []}']
)
def test_what_is_no_envelope(broken: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(proofs.ProofError, match="not a DSSE envelope"):
        proofs.attested(broken, jwks(key))


def test_exactly_one_byte_is_changed(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    data = b'{"verb":"promotion.granted"}\n{"verb":"promotion.refused"}\n'
    (export / "events.jsonl").write_bytes(data)
    tamper.one_byte(export, tmp_path / "copy", of_verb="promotion.refused")
    changed = (tmp_path / "copy" / "events.jsonl").read_bytes()
    assert [at for at in range(len(data)) if data[at] != changed[at]] == [data.index(b'refused"') + 6]
    assert (export / "events.jsonl").read_bytes() == data
    with pytest.raises(ValueError, match="has no event"):
        tamper.one_byte(export, tmp_path / "again", of_verb="promotion.expired")


def test_the_verifier_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "vkey").write_text("nothing")
    code, said = proofs.verify(tmp_path, tmp_path / "vkey")
    assert code == 2
    assert said.startswith("unreadable:")


def test_serve_needs_a_folder() -> None:
    with pytest.raises(SystemExit) as ended:
        run_main(["--serve"])
    assert ended.value.code == 2
