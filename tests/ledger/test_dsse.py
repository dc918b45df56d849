"""DSSE against its published vector and against securesystemslib; JWK against RFC 7517 and RFC 7638."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from audits.ledger.dsse import (
    DsseError,
    PublishedKey,
    SignatureMismatchError,
    jwk,
    jwks,
    pae,
    public_key,
    sign,
    thumbprint,
    verify,
)
from tests.ledger.support import vectors

KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
PAYLOAD = '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"média"}]}'.encode()


def sslib(key: ec.EllipticCurvePrivateKey) -> SSlibKey:
    return SSlibKey.from_crypto(key.public_key(), keyid=thumbprint(key.public_key()))


def test_the_published_envelope() -> None:
    data = vectors("dsse.json")
    envelope: dict[str, Any] = data["envelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    assert pae(payload, kind) == data["pae"].encode()
    numbers = {name: int(data["key"][name]) for name in ("X", "Y", "d")}
    private = ec.derive_private_key(numbers["d"], ec.SECP256R1())
    public = ec.EllipticCurvePublicNumbers(numbers["X"], numbers["Y"], ec.SECP256R1()).public_key()
    assert private.public_key() == public
    raw = base64.b64decode(envelope["signatures"][0]["sig"])  # r ‖ s; DER is what we read
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    as_der = {**envelope, "signatures": [{"sig": base64.b64encode(der).decode()}]}
    assert verify(as_der, [public], kind) == (b"hello world", [thumbprint(public)])
    with pytest.raises(SignatureMismatchError):
        verify(envelope, [public], kind)


def test_securesystemslib_accepts_what_we_sign() -> None:
    text = json.dumps(sign(PAYLOAD, KEY, OTHER))
    envelope = Envelope.from_dict(json.loads(text))
    accepted = envelope.verify([sslib(KEY), sslib(OTHER)], threshold=2)
    assert set(accepted) == {thumbprint(KEY.public_key()), thumbprint(OTHER.public_key())}
    assert (envelope.payload, envelope.payload_type) == (PAYLOAD, "application/vnd.in-toto+json")
    changed = Envelope.from_dict(json.loads(text))
    changed.payload = PAYLOAD.replace(b"name", b"nome")
    with pytest.raises(VerificationError):
        changed.verify([sslib(KEY)], threshold=1)


def test_we_accept_what_securesystemslib_signs() -> None:
    envelope = Envelope(PAYLOAD, "application/vnd.in-toto+json", {})
    envelope.sign(CryptoSigner(KEY, sslib(KEY)))
    assert verify(envelope.to_dict(), [KEY.public_key()]) == (PAYLOAD, [thumbprint(KEY.public_key())])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.text(max_size=12), st.binary(max_size=60), st.text(max_size=12))
def test_the_encoding_never_confuses_type_and_payload(a: bytes, s: str, b: bytes, t: str) -> None:
    assert (pae(a, s) == pae(b, t)) is ((a, s) == (b, t))


def test_forgeries_are_refused() -> None:
    envelope = sign(PAYLOAD, KEY)
    with pytest.raises(SignatureMismatchError):
        verify(envelope, [OTHER.public_key()])
    with pytest.raises(SignatureMismatchError):
        verify(envelope, [])
    with pytest.raises(DsseError, match="not text/plain"):
        verify(envelope, [KEY.public_key()], "text/plain")
    with pytest.raises(SignatureMismatchError):
        verify({**envelope, "payloadType": "text/plain"}, [KEY.public_key()], "text/plain")
    der = base64.b64decode(envelope["signatures"][0]["sig"])
    for place in range(len(der)):
        bad = bytearray(der)
        bad[place] ^= 1
        forged = {**envelope, "signatures": [{"sig": base64.b64encode(bad).decode()}]}
        with pytest.raises(SignatureMismatchError):
            verify(forged, [KEY.public_key()])
    # The key id is a hint: a wrong one neither helps nor hurts.
    relabelled = {**envelope, "signatures": [{**envelope["signatures"][0], "keyid": "x"}]}
    assert verify(relabelled, [OTHER.public_key(), KEY.public_key()])[1] == [thumbprint(KEY.public_key())]


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"payload": "", "payloadType": "application/vnd.in-toto+json"},
        {"payload": 1, "payloadType": "application/vnd.in-toto+json", "signatures": []},
        {"payload": "é", "payloadType": "application/vnd.in-toto+json", "signatures": []},
        {"payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "!"}]},
        {"payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": ["x"]},
        {"payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": None},
    ],
)
def test_malformed_envelopes(envelope: dict[str, Any]) -> None:
    with pytest.raises(DsseError):
        verify(envelope, [KEY.public_key()])


def test_only_p256_signs() -> None:
    with pytest.raises(DsseError, match="P-256"):
        sign(b"", ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(DsseError, match="at least one"):
        sign(b"")


def test_jwk_and_thumbprint() -> None:
    # RFC 7517 appendix A.1, its coordinates; the thumbprint as RFC 7638 §3.1 spells it out, by hand.
    x, y = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
    key = public_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    by_hand = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()
    expected = base64.urlsafe_b64encode(sha256(by_hand).digest()).decode().rstrip("=")
    assert thumbprint(key) == expected == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
    assert jwk(key) == {
        "kty": "EC",
        "crv": "P-256",
        "x": x,
        "y": y,
        "alg": "ES256",
        "use": "sig",
        "kid": expected,
    }
    assert public_key(jwk(key)) == key


def test_a_coordinate_with_leading_zeros_keeps_its_32_bytes() -> None:
    for scalar in range(1, 2000):
        key = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
        if key.public_numbers().x >> 248 == 0:
            break
    assert len(base64.urlsafe_b64decode(jwk(key)["x"] + "=")) == 32
    assert public_key(jwk(key)) == key


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"x": "AA"},
        {"x": "A" * 43},
        {"y": 5},
        {"kid": "other"},
        {"x": "!" * 43},
    ],
)
def test_bad_jwks(change: dict[str, Any]) -> None:
    with pytest.raises(DsseError):
        public_key({**jwk(KEY.public_key()), **change})
    with pytest.raises(DsseError):
        public_key({})


def test_jwks_document_with_validity() -> None:
    document = jwks([PublishedKey(KEY.public_key(), 100, 200), PublishedKey(OTHER.public_key(), 200)])
    assert document == {
        "keys": [
            {**jwk(KEY.public_key()), "nbf": 100, "exp": 200},
            {**jwk(OTHER.public_key()), "nbf": 200},
        ]
    }
    json.dumps(document)
