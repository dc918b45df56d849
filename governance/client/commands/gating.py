"""The gate, with a server and without one, and the files that it needs then."""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from governance.client import offline
from governance.client.commands.common import OK, REFUSED, Context
from governance.client.console import plain
from governance.client.errors import Usage
from governance.client.multipart import digest_of_file, unreadable

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    gate = commands.add_parser("gate", parents=[common], help="may this artefact run there, now or then?")
    gate.add_argument("artifact", metavar="DIGEST|FILE")
    gate.add_argument("--environment", required=True, metavar="ENV")
    gate.add_argument("--model", help="where the artefact is registered for several models")
    gate.add_argument(
        "--at", metavar="DATE", help="what was answered then: 2026-01-31 or 2026-01-31T12:00:00Z"
    )
    alone = gate.add_argument_group("without a server")
    alone.add_argument(
        "--offline", metavar="BUNDLE", help="file or folder of attestations and revocation list"
    )
    alone.add_argument("--jwks", metavar="FILE", help="the public keys; keep them where the bundle is not")
    alone.add_argument("--max-age", metavar="1d|12h|30m", help="how old the revocation list may be")
    gate.set_defaults(command=gate_command)

    bundle = commands.add_parser(
        "bundle", parents=[common], help="fetch what `gate --offline` needs: attestations and revocation list"
    )
    bundle.add_argument("model")
    bundle.add_argument("file", metavar="BUNDLE", help="written whole or not at all")
    bundle.add_argument("--jwks", metavar="FILE", help="write the public keys there, too")
    bundle.set_defaults(command=bundle_command)


def digest_named(text: str) -> str:
    """A digest as it is, or that of the file."""
    if text.startswith("sha256:") and not Path(text).exists():
        if not DIGEST.fullmatch(text):
            raise Usage(
                "A digest looks like sha256: and 64 hexadecimal digits, in small letters.",
                code="digest_malformed",
            )
        return text
    return digest_of_file(Path(text))


def time_named(text: str | None) -> str | None:
    """A time with its zone; a date alone is its first moment in UTC."""
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return f"{date.fromisoformat(text)}T00:00:00Z"
        offline.moment_of(text)
    except ValueError as error:
        raise Usage(
            f"--at {text!r}: write 2026-01-31 or 2026-01-31T12:00:00Z.", code="time_malformed"
        ) from error
    return text


def age_named(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([dhms])", text)
    if match is None:
        raise Usage(f"--max-age {text!r}: write it as 1d, 12h, 30m or 90s.", code="age_malformed")
    unit = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}[match[2]]
    return timedelta(**{unit: int(match[1])})


def gate_command(context: Context) -> int:
    options = context.options
    digest = digest_named(options.artifact)
    if options.offline is not None:
        return _offline(context, digest)
    if options.jwks is not None or options.max_age is not None:
        raise Usage("--jwks and --max-age go with --offline BUNDLE.")
    answer = context.server().gate(
        digest, environment=options.environment, model=options.model, at=time_named(options.at)
    )
    context.console.document(answer.raw)
    context.console.gate(answer)
    return OK if answer.allowed else REFUSED


def _offline(context: Context, digest: str) -> int:
    options, console = context.options, context.console
    if options.jwks is None:
        raise Usage("--offline needs --jwks FILE: a copy of /.well-known/jwks.json that you trust.")
    if options.at is not None:
        raise Usage("--at asks the server; an attestation says what holds now.")
    verdict = offline.check(
        digest,
        options.environment,
        offline.read_bundle(options.offline),
        offline.read_keys(options.jwks),
        model=options.model,
        max_age=age_named(options.max_age),
    )
    console.document(
        {
            "allowed": verdict.allowed,
            "digest": digest,
            "environment": options.environment,
            "reasons": [{"code": code, "params": {}, "text": text} for code, text in verdict.reasons],
            "statement": verdict.statement,
            "revocations_issued": verdict.revocations_issued,
        }
    )
    word = console.paint("yes", "green", "bold") if verdict.allowed else console.paint("no", "red", "bold")
    console.say(f"{word}: {digest} in {plain(options.environment)}, verified offline")
    if verdict.statement is not None:
        predicate = verdict.statement["predicate"]
        version = predicate["modelVersion"]
        console.say(
            f"  {plain(version['name'])}@{plain(version.get('version', ''))}, "
            f"promotion {plain(predicate['promotion'])}, valid until {plain(predicate['validUntil'] or 'revoked')}"
        )
    console.reasons([plain(text) for _, text in verdict.reasons])
    return OK if verdict.allowed else REFUSED


def bundle_command(context: Context) -> int:
    options, crivo = context.options, context.server()
    attestations = crivo.attestations(options.model)
    revocations = crivo.revocations()
    keys = crivo.jwks() if options.jwks else None
    written(Path(options.file), attestations + revocations)
    if keys is not None:
        written(Path(options.jwks), json.dumps(keys, indent=1).encode() + b"\n")
    count = attestations.count(b"\n")
    context.console.document({"attestations": count, "bundle": options.file, "jwks": options.jwks})
    context.console.say(f"{count} attestations and the revocation list in {plain(options.file)}")
    return OK


def written(path: Path, data: bytes) -> None:
    """Whole or not at all: a deploy job must never read half a list."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unreadable(path, error) from error
