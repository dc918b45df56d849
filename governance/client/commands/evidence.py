"""`crivo evidence …`: attach what somebody else produced to a version, and list it."""

from __future__ import annotations

import argparse
from base64 import b64encode
from pathlib import Path
from typing import Any

from governance.client.commands.common import OK, Context, text_of, version_of
from governance.client.console import plain
from governance.client.multipart import unreadable


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    evidence = commands.add_parser(
        "evidence", help="test reports and signed documents of others: attested, not computed"
    ).add_subparsers(metavar="attach|list", required=True)
    attach = evidence.add_parser("attach", parents=[common], help="attach a file for one check")
    attach.add_argument("version", metavar="NAME@VERSION")
    attach.add_argument("file")
    attach.add_argument(
        "--check", required=True, help="the check it stands for, e.g. robustness.perturbation"
    )
    attach.add_argument("--kind", choices=["junit", "document"], default="junit")
    attach.add_argument("--title", required=True)
    attach.add_argument("--issuer", required=True, help="who produced it")
    attach.add_argument("--public-key", metavar="FILE", help="PEM of whoever signed a document")
    attach.add_argument("--signature", metavar="FILE", help="the raw signature over the file")
    attach.set_defaults(command=attach_command)
    listing = evidence.add_parser("list", parents=[common], help="what is attached to a version")
    listing.add_argument("version", metavar="NAME@VERSION")
    listing.set_defaults(command=list_command)


def _signature(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return b64encode(Path(path).read_bytes()).decode()
    except OSError as error:
        raise unreadable(Path(path), error) from error


def attach_command(context: Context) -> int:
    options, console, crivo = context.options, context.console, context.server()
    name, n = version_of(crivo, options.version, None)
    found = crivo.attach_evidence(
        name,
        n,
        options.file,
        check=options.check,
        kind=options.kind,
        title=options.title,
        issuer=options.issuer,
        public_key=text_of(options.public_key) if options.public_key else "",
        signature=_signature(options.signature),
        progress=console.progress(Path(options.file).name),
    )
    console.document(found.raw)
    console.say(
        f"{plain(found.version)}: {plain(found.title)} by {plain(found.issuer)}, attested for {plain(found.check)}"
        + ("" if found.created else " (was there already)")
    )
    console.fields([("digest", found.digest), *((name, value) for name, value in found.summary.items())])
    return OK


def list_command(context: Context) -> int:
    crivo = context.server()
    name, n = version_of(crivo, context.options.version, None)
    found = crivo.evidence(name, n)
    context.console.document([row.raw for row in found])
    context.console.table(
        ("check", "kind", "title", "issuer", "digest"),
        [(row.check, row.kind, row.title, row.issuer, row.digest) for row in found],
    )
    return OK
