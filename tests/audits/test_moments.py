from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from audits.moments import moment_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00-03:00", datetime(2026, 1, 31, 15, tzinfo=UTC)),
        ("0833-05-10T14:48:17.83+20:32", datetime(833, 5, 9, 18, 16, 17, 830_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2026-01-31T12:00:00", None),
        ("2026-01-31", None),
        ("2026-02-31T12:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_times_are_read_in_utc_or_not_at_all(text: str, found: datetime | None) -> None:
    assert moment_of(text) == found
    assert found is None or moment_of(text).tzinfo is UTC  # type: ignore[union-attr]


@pytest.mark.django_db
@given(st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat))
def test_what_is_read_the_database_takes(text: str) -> None:
    found = moment_of(text)
    if found is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [found])
            assert cursor.fetchone() == (found,)
