"""A check that has not finished: how far it is, and the button that ends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext

from audits.ids import uuid7
from audits.models import CheckRun
from audits.progress import Progress, progress_of
from governance.console.acts import ACTS
from governance.console.findings import Item
from governance.console.people import Visitor
from governance.console.wording import CHECKS, reader, word
from governance.roles import actions_of


@dataclass(frozen=True)
class Running:
    """`progress` is None for a check in one pass: it tells nothing until it is finished."""

    progress: Progress | None
    told: str
    item: Item


def running(visitor: Visitor, runs: Iterable[CheckRun]) -> dict[UUID, Running]:
    """Of those that are not finished. One query if there are any, else none."""
    open_runs = [run for run in runs if not run.finished]
    if not open_runs:
        return {}
    progress, may = progress_of(run.id for run in open_runs), actions_of(visitor.roles)
    return {run.id: _running(run, progress.get(run.id), may) for run in open_runs}


def _running(run: CheckRun, progress: Progress | None, may: frozenset[str]) -> Running:
    item = Item(
        kind="check",
        id=run.id,
        title=word(CHECKS, run.check_slug),
        state=run.state,
        state_word=run.get_state_display(),
        tone="waiting",
        about=gettext("A cancelled check passes no request; whoever asks again has it computed."),
        due=None,
        due_word="",
        said=[],
        acts=[act for act in ACTS["check"] if run.state in act.states and act.permission in may],
        key=uuid7(),
    )
    return Running(progress, _told(progress), item)


def _told(progress: Progress | None) -> str:
    if progress is None:
        return ""
    count = reader().count
    return gettext("{parts_done} of {parts} parts, {rows_done} of {rows} rows").format(
        parts_done=count(progress.parts_done),
        parts=count(progress.parts),
        rows_done=count(progress.rows_done),
        rows=count(progress.rows),
    )
