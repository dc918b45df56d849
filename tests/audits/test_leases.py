"""What is held by one worker at a time: the states it goes through are those of each table, and the back-off grows."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from audits.services import check_runs, explanations, exports, reproductions
from audits.services.leases import QUEUED, RUNNING, as_long_as_it_waited, longer_each_attempt
from audits.states import CHECK_RUN, EXPORT, CheckRunState, ExportState, step


def test_the_tables_allow_what_a_lease_does() -> None:
    for before in (QUEUED, RUNNING):
        assert step(CHECK_RUN, before, CheckRunState.RUNNING) == RUNNING
        assert step(EXPORT, before, ExportState.RUNNING) == RUNNING


@pytest.mark.parametrize("held", [check_runs, explanations, exports, reproductions])
def test_every_row_that_is_held_has_the_columns(held: object) -> None:
    model = held._lease.model  # type: ignore[attr-defined]
    columns = {field.name for field in model._meta.concrete_fields}
    assert columns >= {"state", "lease_until", "fence", "attempts", "queued_at", "sent_at"}


def test_a_message_that_waits_its_turn_is_repeated_ever_more_rarely() -> None:
    now = timezone.now()
    for waited, patience in ((0, 20), (20, 20), (90, 90), (299, 299), (3600, 300)):
        row = SimpleNamespace(state=QUEUED, queued_at=now - timedelta(seconds=waited), sent_at=now)
        assert as_long_as_it_waited(row) == timedelta(seconds=patience)
    lost = SimpleNamespace(state=RUNNING, queued_at=now - timedelta(hours=1), sent_at=now)
    assert as_long_as_it_waited(lost) == timedelta(seconds=20)


def test_a_row_that_kills_its_workers_is_repeated_ever_more_rarely() -> None:
    found = [longer_each_attempt(SimpleNamespace(attempts=n)).total_seconds() for n in (0, 1, 2, 6, 60)]
    assert found == [20, 40, 80, 1280, 1280]
