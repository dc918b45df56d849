"""Querysets compiled once: the same rows as the queryset itself, now and after every change, whatever is filled in."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance import prepared as module
from governance.models import Environment, RoleBinding, User
from governance.prepared import LONGEST, prepared
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def versions(*, workspace: UUID, digests: Collection[str], until: datetime | None) -> QuerySet[ModelVersion]:
    rows = ModelVersion.objects.filter(workspace_id=workspace, artifact_digest__in=digests)
    if until is not None:
        rows = rows.filter(created_at__lte=until)
    return rows.select_related("model").order_by("-n")


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each text that was compiled."""
    found: list[object] = []

    class Counted(module._Shape):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            found.append(self)

    monkeypatch.setattr(module, "_Shape", Counted)
    return found


def test_the_rows_of_the_queryset_in_its_order(cast: Cast, built: list[object]) -> None:
    study.use_case_with_policies(cast)
    study.dataset_version(cast)
    rows = [study.model_version(cast, b"model %d" % n) for n in range(3)]
    digests = [row.artifact_digest for row in rows]
    ask = prepared(versions)
    built.clear()
    here, elsewhere, now = cast.workspace.id, cast.elsewhere.id, timezone.now()
    assert ask(workspace=here, digests=digests, until=None) == rows[::-1]
    assert ask(workspace=here, digests=set(digests), until=None) == rows[::-1]
    assert ask(workspace=here, digests=digests[:1], until=None) == rows[:1]
    assert ask(workspace=here, digests=digests[1:2], until=None) == rows[1:2]
    assert ask(workspace=here, digests=digests[1:2], until=now) == rows[1:2]
    assert ask(until=rows[0].created_at - timedelta(days=1), workspace=here, digests=digests[:1]) == []
    assert ask(workspace=elsewhere, digests=digests, until=None) == []
    assert ask(workspace=here, digests=[], until=None) == []
    assert ask(workspace=here, digests=[digests[0]] * (LONGEST + 1), until=None) == rows[:1]
    # Three digests; one; one until then, its arguments in two orders; none. The long list was compiled anew.
    assert len(built) == 5
    with CaptureQueriesContext(connection) as told:
        (row,) = ask(workspace=here, digests=digests[:1], until=None)
        assert row.model.name == rows[0].model.name
        assert row.metadata == rows[0].metadata
    assert len(told) == 1, "what select_related brings came with it"


def test_nothing_of_an_answer_is_kept(cast: Cast) -> None:
    ask = prepared(lambda *, name: User.objects.filter(username=name))
    assert ask(name="nina") == []
    nina = User.objects.create_user(username="nina", password=None)
    found = ask(name="nina")
    assert found == [nina]
    found.clear()
    User.objects.filter(id=nina.id).update(is_active=False)
    assert [row.is_active for row in ask(name="nina")] == [False]


def test_a_text_that_is_hostile_is_a_value_like_any_other(cast: Cast) -> None:
    ask = prepared(lambda *, name: User.objects.filter(username=name).values_list("username", flat=True))
    assert ask(name="ana") == ["ana"]
    for text in ("' OR true --", "%s", "%(name)s", "\ue0000", 'a"b', "ana\\"):
        assert ask(name=text) == []


def test_every_thread_asks_through_its_own_connection(cast: Cast) -> None:
    ask = prepared(lambda *, workspace: Environment.objects.filter(workspace_id=workspace))
    expected = ask(workspace=cast.workspace.id)

    def elsewhere(_: int) -> list[Environment]:
        try:
            return ask(workspace=cast.workspace.id)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(elsewhere, range(8))) == [expected] * 8


def reads_a_clock(*, person: UUID) -> QuerySet[Any]:
    return RoleBinding.objects.filter(person_id=person, created_at__lte=timezone.now())


def loses_a_value(*, person: UUID, workspace: UUID) -> QuerySet[Any]:
    return RoleBinding.objects.filter(person_id=person)


def hides_a_value(*, name: str) -> QuerySet[Any]:
    return User.objects.filter(username__icontains=name)


@pytest.mark.parametrize(
    ("build", "values", "why"),
    [
        (reads_a_clock, {"person": UUID(int=7)}, "more than the shape"),
        (loses_a_value, {"person": UUID(int=7), "workspace": UUID(int=8)}, "does not hand on"),
        (hides_a_value, {"name": "ana"}, "more than the shape"),
    ],
)
def test_what_cannot_be_prepared_is_refused(build: Any, values: dict[str, Any], why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        prepared(build)(**values)


def test_an_argument_that_cannot_be_filled_in(cast: Cast) -> None:
    ask: Any = prepared(lambda *, position: Environment.objects.filter(position=position))
    with pytest.raises(TypeError, match="int"):
        ask(position=1)
    with pytest.raises(TypeError, match="by name"):
        ask(1)
