"""What was changed past the door raises an alarm that stays open until somebody outside engineering signs it off."""

from __future__ import annotations

import pytest
from django.db import connections
from django.test import Client

from audits.errors import Forbidden
from audits.models import Event
from audits.services.alarms import tell_of_changes
from governance.models import Alarm
from governance.services.glass import sign_off_alarm
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.past_the_door,
]


def tampered(cast: Cast) -> ModelVersion:
    version = study.study(cast)
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "UPDATE registry_model_version SET artifact_digest = 'sha256:other' WHERE id = %s", [version.id]
        )
    return version


def test_a_row_changed_by_sql_until_it_is_signed_off(committed_cast: Cast) -> None:
    cast = committed_cast
    tampered(cast)
    (told,) = tell_of_changes()
    assert tell_of_changes() == []
    alarm = Alarm.objects.get()
    assert (alarm.about_event, alarm.glass, alarm.state) == (told, None, "open")
    raised = Event.objects.get(verb="alarm.raised")
    assert raised.reason["code"] == "past_the_door"
    assert raised.detail == {"event": str(told)}
    shown = Client().get("/api/v1/alarms", headers=cast.headers("clara")).json()["results"]
    assert [(row["model"], row["about_event"], row["state"]) for row in shown] == [(None, str(told), "open")]
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        sign_off_alarm(command=cast.command("ana"), alarm_id=alarm.id, reason="it was me")
    assert (
        sign_off_alarm(
            command=cast.command("clara"), alarm_id=alarm.id, reason="A repair, ticket 12."
        ).value.state
        == "signed_off"
    )


def test_the_page_lists_it(committed_cast: Cast) -> None:
    tampered(committed_cast)
    tell_of_changes()
    client = Client()
    client.force_login(committed_cast.people["clara"])
    page = client.get("/admin/findings").content.decode()
    assert "Something was changed past the services of Crivo." in page
    assert "registry_model_version" in page or "progression@1" in page


def test_the_database_wants_one_cause(committed_cast: Cast) -> None:
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError, match="alarm_raised_by_one"), transaction.atomic():
        Alarm.objects.create(workspace=committed_cast.workspace, raised_by=committed_cast.workspace.id)
