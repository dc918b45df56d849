"""How far checks are that are divided among workers: reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q, Sum

from audits.models import CheckPart
from audits.states import CheckPartState


@dataclass(frozen=True)
class Progress:
    """Rows count as done with the part they are in."""

    parts: int
    parts_done: int
    rows: int
    rows_done: int


def progress_of(runs: Iterable[UUID]) -> dict[UUID, Progress]:
    """Of those runs that were divided; one query. A check in one pass tells nothing until it is finished."""
    done = Q(state=CheckPartState.DONE)
    told = (
        CheckPart.objects.filter(run__in=list(runs))
        .values("run_id")
        .annotate(
            all=Count("id"),
            done=Count("id", filter=done),
            rows_all=Sum("rows"),
            rows_done=Sum("rows", filter=done),
        )
    )
    return {
        row["run_id"]: Progress(row["all"], row["done"], row["rows_all"], row["rows_done"] or 0)
        for row in told
    }
