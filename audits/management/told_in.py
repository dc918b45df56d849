"""Where a command of the shell writes the event that tells of it."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from audits.models import Workspace


def add_workspace(parser: ArgumentParser) -> None:
    parser.add_argument("--workspace", help="where the event is written (default: the first)")


def told_in(name: str | None) -> Workspace:
    """The workspace of this name, the oldest one without. CommandError where there is none."""
    rows = Workspace.objects.order_by("created_at", "id")
    workspace = (rows.filter(name=name) if name else rows).first()
    if workspace is None:
        raise CommandError("There is no such workspace.")
    return workspace
