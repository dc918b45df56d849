from __future__ import annotations

import io
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.utils import timezone

from audits import blobs
from audits.models import IdempotencyRecord
from audits.services.housekeeping import tidy
from tests.cast import Cast

DAY = 24 * 3600


@pytest.mark.django_db
def test_only_what_nobody_refers_to_and_is_a_day_old_goes(cast: Cast) -> None:
    kept = blobs.store(cast.workspace.id, io.BytesIO(b"referred to"), cap=100)
    blobs.refer(cast.workspace.id, kept)
    fresh = blobs.store(cast.workspace.id, io.BytesIO(b"just arrived"), cap=100)
    orphan = blobs.store(cast.workspace.id, io.BytesIO(b"its process died"), cap=100)

    def path(stored: blobs.Stored) -> Path:
        return Path(storages["blobs"].path(blobs.name_of(cast.workspace.id, stored.digest)))

    old = time.time() - DAY - 60
    for stored in (kept, orphan):
        os.utime(path(stored), (old, old))
    assert tidy()[0] == 1
    assert [path(stored).exists() for stored in (kept, fresh, orphan)] == [True, True, False]


@pytest.mark.django_db
def test_keys_are_forgotten_after_their_day(cast: Cast) -> None:
    # The service may not change such a row, so each is written with the time it is to have.
    with connection.cursor() as cursor:
        for key, hours in (("old", 25), ("new", 23)):
            cursor.execute(
                "INSERT INTO audits_idempotency (workspace_id, principal, method, path, key, body_digest, "
                "result_model, created, created_at) VALUES (%s, %s, 'POST', '/x', %s, 'd', '', false, %s)",
                [cast.workspace.id, cast.workspace.id, key, timezone.now() - timedelta(hours=hours)],
            )
    assert tidy()[1] == 1
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["new"]
