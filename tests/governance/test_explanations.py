"""The right to an explanation: asked for over HTTP, computed in confinement, nothing of the person kept in clear."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.utils import DatabaseError
from django.test import Client
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audits import blobs
from audits.models import Event, Explanation
from audits.services import confined
from audits.services.explaining import run_explanation
from audits.services.explanations import claim, resend_waiting, unsealed
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.models import register_model, register_model_version
from registry.tabular import profile
from tests import study
from tests.cast import Cast
from tests.checks.cast import model_file
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/models/progression/versions/1/explanations"
# Nine digits: five turn up by chance in the hexadecimal of a few thousand digests.
CANARY = 735194628.25


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


def registered(cast: Cast, **changes: Any) -> tuple[Any, dict[str, Any]]:
    """A fitted model in the registry, and a record with a canary in it."""
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.assign(progression=(data.target > data.target.median()).astype(int))
    columns = list(data.data.columns)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[columns], frame["progression"])
    for name in ("ana", "clara", "davi"):
        cast.token(name)  # made here: a test that counts rows must not make one
    study.use_case_with_policies(cast)
    content = frame.to_csv(index=False).encode()
    register_dataset(command=cast.command("pipeline"), name="patients")
    register_dataset_version(
        command=cast.command("pipeline"),
        name="patients",
        stored=blobs.store(cast.workspace.id, io.BytesIO(content), cap=1 << 20),
        format="csv",
        profile=profile(io.BytesIO(content), "csv"),
        sensitive={"sex": {}, "age": {"bins": [50]}},
    )
    register_model(command=cast.command("pipeline"), name="progression")
    register_model_version(
        command=cast.command("pipeline"),
        name="progression",
        stored=blobs.store(cast.workspace.id, model_file(model, changes.get("format", "skops")), cap=1 << 20),
        metadata=study.metadata(**changes),
    )
    return model, {**{name: float(value) for name, value in frame[columns].iloc[0].items()}, "bmi": CANARY}


def asked(cast: Cast, body: Any, name: str = "ana", **headers: str) -> Any:
    return Client().post(
        ADDRESS, body, content_type="application/json", headers={**cast.headers(name), **headers}
    )


def everything_kept() -> str:
    """Every row of every table, and every event, as text."""
    found = []
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t")
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_a_record_is_explained_and_not_kept(committed_cast: Cast) -> None:
    model, record = registered(committed_cast)
    answer = asked(committed_cast, {"record": record, "lime": True})
    assert answer.status_code == 202, answer.content
    address = answer.headers["Location"]
    row = Explanation.objects.get()
    assert answer.json()["state"] == "queued"
    assert unsealed(row) == record
    assert "735194628" not in everything_kept()

    assert run_explanation(row.id) is not None
    body = Client().get(f"{address}?wait=1", headers=committed_cast.headers("ana")).json()
    assert body["state"] == "completed", body
    import pandas as pd

    margin = float(model.decision_function(pd.DataFrame([record]))[0])
    assert body["output"] == pytest.approx(margin)
    assert body["base_value"] + sum(item["phi"] for item in body["contributions"]) == pytest.approx(margin)
    assert body["contributions"][0]["feature"] == "bmi"
    assert body["prediction"] == "1"
    assert body["lime"]["samples"] == 2000
    assert body["confinement_level"] >= 1
    row.refresh_from_db()
    assert row.sealed is None
    assert "735194628" not in everything_kept()
    verbs = [event.verb for event in Event.objects.filter(subject_kind="explanation").order_by("subject_seq")]
    assert verbs == ["explanation.requested", "explanation.completed"]

    for kind in ("shap", "lime"):
        plot = Client().get(f"{address}/plot?kind={kind}", headers=committed_cast.headers("ana"))
        assert plot.status_code == 200, plot.content
        assert plot.content.startswith(b"<svg")
        assert b"735194628" not in plot.content
    for given, same in ((record, True), ({**record, "bmi": 30.0}, False)):
        match = Client().post(
            f"{address}/matches",
            {"record": given},
            content_type="application/json",
            headers=committed_cast.headers("ana"),
        )
        assert match.json() == {"matches": same}
    with pytest.raises(DatabaseError, match="never changed"):
        Explanation.objects.filter(id=row.id).update(result={})


def test_two_about_one_person_cannot_be_told_to_be_so(committed_cast: Cast) -> None:
    _, record = registered(committed_cast)
    for _ in range(2):
        assert asked(committed_cast, {"record": record}).status_code == 202
    assert len(set(Explanation.objects.values_list("record_digest", flat=True))) == 2


def test_the_same_key_asks_once(committed_cast: Cast) -> None:
    _, record = registered(committed_cast)
    first = asked(committed_cast, {"record": record}, **{"Idempotency-Key": "k"})
    again = asked(committed_cast, {"record": record}, **{"Idempotency-Key": "k"})
    assert first.json()["id"] == again.json()["id"]
    other = asked(committed_cast, {"record": {**record, "age": 1}}, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert Explanation.objects.count() == 1


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"bmi": {"nested": 1}}, 422),
        ({"bmi": "x" * 20_000}, 422),
        ("not an object", 400),
        (None, 400),
    ],
)
def test_what_is_no_record(committed_cast: Cast, record: Any, status: int) -> None:
    registered(committed_cast)
    with unchanged(refusals=int(status == 422)):
        answer = asked(committed_cast, {"record": record})
        assert answer.status_code == status, answer.content


def test_who_may_not(committed_cast: Cast) -> None:
    _, record = registered(committed_cast)
    with unchanged(refusals=1):
        assert asked(committed_cast, {"record": record}, "clara").status_code == 403
    with unchanged(refusals=0):
        assert asked(committed_cast, {"record": record}, "davi").status_code == 404
    made = asked(committed_cast, {"record": record})
    for name in ("clara", "davi"):
        got = Client().get(made.headers["Location"], headers=committed_cast.headers(name))
        assert got.status_code == 404


def test_code_in_the_file_needs_a_policy_that_accepts_it(committed_cast: Cast) -> None:
    _, record = registered(committed_cast, format="pickle")
    with unchanged(refusals=1):
        answer = asked(committed_cast, {"record": record})
        assert (answer.status_code, answer.json()["code"]) == (422, "explanation_format_not_accepted")
    study.put_in_force(
        committed_cast, study.PRODUCTION + "artifact_formats: [pickle]\nconfinement_level: 2\n"
    )
    assert asked(committed_cast, {"record": record}).status_code == 202
    assert Explanation.objects.get().confinement_level == 2


def test_an_unknown_format_is_registered_and_explained_by_nobody(committed_cast: Cast) -> None:
    _, record = registered(committed_cast, format="tensorflow")
    with unchanged(refusals=1):
        answer = asked(committed_cast, {"record": record})
        assert answer.json()["code"] == "explanation_format_not_accepted"


def test_a_record_that_does_not_fit_is_answered_with_the_column(committed_cast: Cast) -> None:
    _, record = registered(committed_cast)
    del record["s5"]
    made = asked(committed_cast, {"record": record})
    row = Explanation.objects.get()
    assert run_explanation(row.id) is not None
    body = Client().get(made.headers["Location"], headers=committed_cast.headers("ana")).json()
    assert (body["state"], body["error"]["code"]) == ("errored", "record_column_missing")
    assert body["error"]["params"] == {"columns": "s5"}
    plot = Client().get(made.headers["Location"] + "/plot", headers=committed_cast.headers("ana"))
    assert (plot.status_code, plot.json()["code"]) == (409, "explanation_not_done")
    row.refresh_from_db()
    assert row.sealed is None
    assert run_explanation(row.id) is None  # delivered twice: nothing more happens


def test_another_pepper_opens_nothing(committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = registered(committed_cast)
    asked(committed_cast, {"record": record})
    row = Explanation.objects.get()
    monkeypatch.setattr("audits.services.explanations.pepper", lambda: b"another pepper, thirty-two bytes!")
    assert unsealed(row) is None
    answered = run_explanation(row.id)
    assert answered is not None
    assert answered.result["error"]["code"] == "explanation_record_lost"  # type: ignore[index]


def test_a_lost_worker_s_explanation_is_taken_over_once(committed_cast: Cast, settings: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    _, record = registered(committed_cast)
    asked(committed_cast, {"record": record})
    row = Explanation.objects.get()
    assert claim(row.id) is not None
    assert claim(row.id) is None
    ago = timezone.now() - timedelta(minutes=30)
    Explanation.objects.filter(id=row.id).update(lease_until=ago, sent_at=ago)
    assert resend_waiting() in ([row.id], [])  # no broker in the tests: sent or not, it was tried
    second = run_explanation(row.id)
    assert second is not None
    assert (second.state, second.fence, second.attempts) == ("completed", 2, 2)
    assert json.dumps(second.result).count("shap_local") == 1
