"""A stand-in for a KMS or an HSM: a process of its own that holds every key and answers over a Unix socket.

Run as `python key_holder.py SOCKET`. `Held` is the provider that CRIVO_KEY_PROVIDER names; it finds the socket in
KEY_HOLDER. One line of JSON per question and per answer; bytes in hex. No private key ever leaves.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import socketserver
import sys
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

KEYS: dict[str, Any] = {}
LINES: dict[str, list[tuple[int, str]]] = {"row": [(0, "row")]}
SECRETS = {name: secrets.token_bytes(32) for name in ("row", "pepper", "sealing")}


def make(purpose: str, since: int) -> str:
    name = purpose if purpose not in LINES else f"{purpose}.{since}"
    if purpose == "row":
        SECRETS[name] = secrets.token_bytes(32)
    elif purpose == "checkpoint":
        KEYS[name] = ed25519.Ed25519PrivateKey.generate()
    else:
        KEYS[name] = ec.generate_private_key(ec.SECP256R1())
    LINES.setdefault(purpose, []).append((since, name))
    return name


def answer(asked: dict[str, Any]) -> Any:
    does, name = asked["do"], asked.get("name", "")
    if does == "secret":
        return SECRETS[name].hex()
    if does == "public_key":
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return KEYS[name].public_key().public_bytes(*form).hex()
    if does == "sign":
        message, key = bytes.fromhex(asked["message"]), KEYS[name]
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message).hex()
        return key.sign(message, ec.ECDSA(hashes.SHA256())).hex()
    if does == "line":
        return LINES[asked["purpose"]]
    if does == "make":
        return make(asked["purpose"], asked["since"])
    if does == "discard":
        KEYS.pop(name, None)
        SECRETS.pop(name, None)
        for line in LINES.values():
            line[:] = [item for item in line if item[1] != name]
        return None
    raise ValueError(does)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(json.dumps(answer(json.loads(self.rfile.readline()))).encode() + b"\n")


class Held:
    """audits.held.KeyProvider"""

    def _ask(self, do: str, **given: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(os.environ["KEY_HOLDER"])
            line.sendall(json.dumps({"do": do, **given}).encode() + b"\n")
            return json.loads(line.makefile().readline())

    def secret(self, name: str) -> bytes:
        return bytes.fromhex(self._ask("secret", name=name))

    def public_key(self, name: str) -> bytes:
        return bytes.fromhex(self._ask("public_key", name=name))

    def sign(self, name: str, message: bytes) -> bytes:
        return bytes.fromhex(self._ask("sign", name=name, message=message.hex()))

    def line(self, purpose: str) -> list[tuple[int, str]]:
        return [(since, name) for since, name in self._ask("line", purpose=purpose)]

    def make(self, purpose: str, since: int) -> str:
        return str(self._ask("make", purpose=purpose, since=since))

    def discard(self, name: str) -> None:
        self._ask("discard", name=name)


if __name__ == "__main__":
    for purpose in ("checkpoint", "attestation"):
        make(purpose, 1_700_000_000)
    with socketserver.ThreadingUnixStreamServer(sys.argv[1], _Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
