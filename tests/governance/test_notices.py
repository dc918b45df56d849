"""Mail to reviewers: whom, when, how often, in which language; once for each dossier; nobody is named in a log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from audits.errors import Forbidden, Unprocessable
from audits.models import Event
from governance.models import MailPreference, Notice, Promotion, RoleBinding
from governance.services import notices
from governance.services.identity import bind_role
from governance.services.notices import set_mail_preference
from governance.services.promotions import withdraw_promotion
from governance.states import NOTICE, NoticeState
from tests import scenario
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.fixture
def cast(committed_cast: Cast, settings: Any) -> Cast:
    settings.CRIVO_MAIL = True
    for name, person in committed_cast.people.items():
        person.email = f"{name}@example.org"
        person.save(update_fields=["email"])
    return committed_cast


@pytest.fixture
def waiting(cast: Cast) -> Promotion:
    """For production: a validator and an approver are missing; Ana, a validator, had a hand in it."""
    return scenario.awaiting_production(cast)


def prefers(cast: Cast, name: str, mode: str, language: str = "") -> None:
    set_mail_preference(command=cast.command(name), mode=mode, language=language)


def told() -> list[str]:
    return sorted(address for message in mail.outbox for address in message.to)


def states() -> dict[str, str]:
    return dict(Notice.objects.values_list("person__username", "state"))


def later(**span: float) -> None:
    Notice.objects.update(next_at=F("next_at") - timedelta(**span))


def test_who_could_approve_is_told_once(cast: Cast, waiting: Promotion) -> None:
    assert notices.notify_reviewers(waiting.id) == 2
    assert told() == ["bia@example.org", "bruno@example.org"]
    assert notices.notify_reviewers(waiting.id) == 0
    assert notices.sweep() == 0
    assert states() == {"bia": "sent", "bruno": "sent"}


def test_the_mail(cast: Cast, waiting: Promotion) -> None:
    prefers(cast, "bruno", "immediately", "en")
    notices.notify_reviewers(waiting.id)
    message = next(one for one in mail.outbox if one.to == ["bruno@example.org"])
    link = f"{django_settings.CRIVO_BASE_URL}/admin/promotions/{waiting.id}"
    assert message.subject == "Crivo: diabetes@1 → production awaits your decision"
    assert f"diabetes@1 → production\n{link}\n" in message.body
    assert "A promotion in the workspace default awaits approval" in message.body
    assert message.from_email == django_settings.DEFAULT_FROM_EMAIL
    notice = Notice.objects.get(person=cast.people["bruno"])
    assert message.extra_headers == {
        "Message-ID": f"<{notice.id}@{urlsplit(django_settings.CRIVO_BASE_URL).hostname}>",
        "Auto-Submitted": "auto-generated",
    }
    [(html, kind)] = message.alternatives  # type: ignore[attr-defined]
    assert kind == "text/html"
    assert f'<a href="{link}">diabetes@1 → production</a>' in html
    for word in ("ana", "Ana", scenario.REQUEST_REASON):
        assert word not in message.body
        assert word not in html


def test_in_the_language_of_the_reader(cast: Cast, waiting: Promotion) -> None:
    prefers(cast, "bruno", "immediately", "pt-br")
    notices.notify_reviewers(waiting.id)
    subjects = {message.to[0]: message.subject for message in mail.outbox}
    assert subjects == {
        "bia@example.org": "Crivo: diabetes@1 → production awaits your decision",
        "bruno@example.org": "Crivo: diabetes@1 → production aguarda a sua decisão",
    }


def test_the_event_wakes_the_worker(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, tuple[str, ...]]] = []
    monkeypatch.setattr("audits.dispatch.send", lambda task, *args, **_: sent.append((task, args)))
    waiting = scenario.awaiting_production(cast)
    assert ("governance.tasks.notify_reviewers", (str(waiting.id),)) in sent


def test_what_was_lost_is_found(cast: Cast, waiting: Promotion) -> None:
    assert notices.sweep() == 2
    assert told() == ["bia@example.org", "bruno@example.org"]


def test_never_and_without_an_address(cast: Cast, waiting: Promotion) -> None:
    prefers(cast, "bruno", "never")
    cast.people["bia"].email = ""
    cast.people["bia"].save(update_fields=["email"])
    assert notices.notify_reviewers(waiting.id) == 0
    assert Notice.objects.count() == 0


def test_without_mail_nothing_is_written(cast: Cast, waiting: Promotion, settings: Any) -> None:
    settings.CRIVO_MAIL = False
    assert notices.notify_reviewers(waiting.id) == notices.sweep() == notices.send_digests() == 0
    assert Notice.objects.count() == 0


def test_a_digest_once_a_day(cast: Cast, waiting: Promotion) -> None:
    for name in ("bruno", "bia"):
        prefers(cast, name, "daily")
    assert notices.notify_reviewers(waiting.id) == 0
    other = scenario.register(cast, model="heart", artifact=b"another model")
    second = scenario.complete_checks(scenario.request(cast, other, "development"))
    scenario.publish()
    second = scenario.complete_checks(scenario.request(cast, other, "test"))
    scenario.publish()
    second = scenario.complete_checks(
        scenario.request(cast, other, "homologation")
    )  # asks for a validator only
    assert notices.notify_reviewers(second.id) == 0
    written = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
    Notice.objects.update(created_at=written, next_at=written)
    assert notices.send_digests(written + timedelta(minutes=1)) == 0
    assert notices.send_digests(datetime(2026, 3, 11, 6, 59, tzinfo=UTC)) == 0
    Notice.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    assert notices.send_digests(timezone.now().replace(year=2027)) == 2
    bodies = {message.to[0]: (message.subject, message.body) for message in mail.outbox}
    assert bodies["bruno@example.org"][0] == "Crivo: 2 promotions await your decision"
    assert "heart@1 → homologation" in bodies["bruno@example.org"][1]
    assert "diabetes@1 → production" in bodies["bruno@example.org"][1]
    assert bodies["bia@example.org"][0] == "Crivo: diabetes@1 → production awaits your decision"
    assert notices.send_digests(timezone.now().replace(year=2027)) == 0
    assert set(Notice.objects.values_list("state", flat=True)) == {"sent"}


@pytest.mark.past_the_door
def test_what_is_not_needed_any_more_is_not_sent(cast: Cast, waiting: Promotion) -> None:
    notices.plan(waiting)
    scenario.word(cast, "bruno", waiting)  # his slot is filled
    RoleBinding.objects.filter(person=cast.people["bia"]).update(revoked_at=timezone.now())
    assert notices.sweep() == 0
    assert states() == {"bia": "skipped", "bruno": "skipped"}


def test_a_request_taken_back_is_not_mailed(cast: Cast, waiting: Promotion) -> None:
    notices.plan(waiting)
    withdraw_promotion(command=cast.command("ana"), promotion_id=waiting.id, reason="not now")
    assert notices.sweep() == 0
    assert set(states().values()) == {"skipped"}


def test_who_gets_the_role_later_is_told_later(cast: Cast, waiting: Promotion) -> None:
    notices.sweep()
    mail.outbox.clear()
    from audits.actors import Command, system_actor

    bind_role(
        command=Command(system_actor("shell", cast.workspace.id)),
        role="approver",
        person=cast.people["clara"],
    )
    assert notices.sweep() == 1
    assert told() == ["clara@example.org"]


class Broken(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        raise ConnectionError(f"{messages[0].to} of {messages[0].subject} refused")


def test_a_failed_mail_is_tried_again_and_the_log_names_nobody(
    cast: Cast, waiting: Promotion, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{Broken.__module__}.Broken"
    with caplog.at_level(logging.DEBUG):
        assert notices.notify_reviewers(waiting.id) == 0
    lines = [line for line in caplog.messages if "notice" in line]
    assert sorted(lines) == sorted(
        f"notice {pk} could not be mailed: ConnectionError"
        for pk in Notice.objects.values_list("id", flat=True)
    )
    for line in caplog.messages:
        assert "example.org" not in line
    assert set(states().values()) == {"pending"}
    settings.EMAIL_BACKEND = working
    assert notices.sweep() == 0  # not at once
    later(minutes=1.1)
    assert notices.sweep() == 2
    assert set(Notice.objects.values_list("attempts", flat=True)) == {2}


def test_given_up_in_the_end(cast: Cast, waiting: Promotion, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{Broken.__module__}.Broken"
    for _ in range(notices.MAX_TRIES + 2):
        notices.sweep()
        later(hours=7)
    assert states() == {"bia": "failed", "bruno": "failed"}
    assert set(Notice.objects.values_list("attempts", flat=True)) == {notices.MAX_TRIES}


def test_a_worker_that_died_after_sending_sends_again_under_the_same_id(
    cast: Cast, waiting: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefers(cast, "bia", "never")
    with monkeypatch.context() as patch:

        class Killed(BaseException):
            pass

        def die(*args: Any) -> None:
            raise Killed

        patch.setattr(notices, "_settle", die)
        with pytest.raises(Killed):
            notices.notify_reviewers(waiting.id)
    assert notices.sweep() == 0  # another worker may still be at it
    later(minutes=5.1)
    assert notices.sweep() == 1
    ids = [message.extra_headers["Message-ID"] for message in mail.outbox]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_preferences_over_the_api(cast: Cast) -> None:
    def call(method: str, body: Any = None, name: str = "bruno") -> Any:
        return Client().generic(
            method,
            "/api/v1/me/mail",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=cast.headers(name),
        )

    assert call("GET").json() == {"mode": "immediately", "language": ""}
    assert call("PUT", {"mode": "daily", "language": "pt-br"}).json() == {
        "mode": "daily",
        "language": "pt-br",
    }
    assert call("PUT", {"mode": "daily", "language": "pt-br"}).status_code == 200
    assert call("GET").json() == {"mode": "daily", "language": "pt-br"}
    assert call("GET", name="bia").json()["mode"] == "immediately"
    event = Event.objects.get(verb="mail_preference.changed")
    assert event.subject_label == ""
    assert event.actor_id == cast.people["bruno"].id
    for body in ({"mode": "hourly"}, {"mode": "daily", "language": "xx"}, {}, []):
        with unchanged(refusals=0):
            assert call("PUT", body).status_code == 400
    with unchanged(refusals=0):
        for method in ("GET", "PUT"):
            answer = call(method, {"mode": "daily"} if method == "PUT" else None, name="pipeline")
            assert answer.json()["code"] == "mail_preference_of_a_person"
            assert answer.status_code == 403


def test_the_service_refuses_what_the_shapes_would(cast: Cast) -> None:
    with unchanged(refusals=0):
        with pytest.raises(Unprocessable, match="mail_mode_unknown"):
            prefers(cast, "bruno", "hourly")
        with pytest.raises(Unprocessable, match="language_unknown"):
            prefers(cast, "bruno", "daily", "xx")
        with pytest.raises(Forbidden, match="mail_preference_of_a_person"):
            set_mail_preference(command=cast.command("pipeline"), mode="daily")


def test_the_database_keeps_one_row_each(cast: Cast, waiting: Promotion) -> None:
    prefers(cast, "bruno", "daily")
    notices.plan(waiting)
    for statement in (
        "UPDATE governance_notice SET state = 'lost'",
        "UPDATE governance_mail_preference SET mode = 'hourly'",
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            connection.cursor().execute(statement)
    with pytest.raises(IntegrityError), transaction.atomic():
        MailPreference.objects.create(workspace=cast.workspace, person=cast.people["bruno"])
    assert set(NOTICE) == set(NoticeState)
