from __future__ import annotations

import base64
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.ledger import pruned
from audits.ledger.note import NoteError, VerifierKey
from audits.ledger.verification import LedgerReport, verify_ledger
from audits.models import Workspace


class Command(BaseCommand):
    help = (
        "Verify the ledger in the database: rows, MACs, texts, leaves, tree, signed checkpoints. "
        "Exit 0: verified; 1: something was changed, and it says what; 2: nothing could be decided."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--vkey",
            action="append",
            help="verifier key of the log, or a file that holds it; may be repeated after a "
            "rotation; default: as published",
        )
        parser.add_argument(
            "--checkpoint", action="append", default=[], metavar="FILE",
            help="a checkpoint kept elsewhere that the log must still agree with; may be repeated",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.CRIVO_PUBLISH)
        vkeys = _vkeys(options["vkey"], folder)
        kept = [_read(Path(path)) for path in options["checkpoint"]]
        if (folder / "checkpoint").exists():
            kept.append(_read(folder / "checkpoint"))
        report = verify_ledger(vkeys[0], *kept, others=vkeys[1:])
        self._tell(report)
        if not kept:
            self.stdout.write(
                "warning: no published checkpoint was found, so the root was compared with none outside"
            )
        if not report.verified:
            sys.exit(1)

    def _tell(self, report: LedgerReport) -> None:
        verdict = "verified" if report.verified else "TAMPERED"
        self.stdout.write(
            f"{verdict}: {report.size:,} entries, root {base64.b64encode(report.root).decode()}, "
            f"{report.checkpoints:,} checkpoints, {report.waiting:,} events waiting, {report.quarantined:,} quarantined"
        )
        if report.pruned:
            self.stdout.write(f"{report.pruned:,} events were pruned, as the log says:")
            for workspace in Workspace.objects.order_by("name").values_list("id", flat=True):
                for told in pruned.notes(workspace):
                    self.stdout.write(f"  {messages.render(told)}")
        for finding in report.findings:
            self.stdout.write(f"  {finding}")
        if report.count > len(report.findings):
            self.stdout.write(f"  … and {report.count - len(report.findings):,} more")


def _vkeys(given: str | list[str] | None, folder: Path) -> list[VerifierKey]:
    if given:
        return [_vkey(text) for text in ([given] if isinstance(given, str) else given)]
    if (folder / "vkeys").exists():
        return [_vkey(line) for line in _read(folder / "vkeys").decode().splitlines() if line]
    return [_vkey(str(folder / "vkey"))]


def _vkey(text: str) -> VerifierKey:
    value = text if "+" in text and not Path(text).exists() else _read(Path(text)).decode(errors="replace")
    try:
        return VerifierKey.parse(value.strip())
    except NoteError as error:
        raise CommandError(f"the verifier key cannot be used: {error}", returncode=2) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", returncode=2) from error
