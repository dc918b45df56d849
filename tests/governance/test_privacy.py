"""Erasure and legal hold over HTTP: who may, on whom, what is refused, and what cannot be read anywhere afterwards."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from audits import privacy, sealing
from audits.actors import Command, system_actor
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import record
from audits.ledger.signing import checkpoint_key
from audits.ledger.verification import verify_ledger
from audits.models import Event, EventText, Leaf, PersonalKey
from audits.sealing import text_of
from audits.services.erasure import erase_person, lift_hold, place_hold
from audits.services.webhook_message import body_for
from audits.verifier import verify_export
from governance.models import Notice, SignoffInvitation, User
from governance.roles import ROLES
from governance.services import notices
from governance.services.findings import open_finding
from governance.services.people import create_person, deactivate_person, reactivate_person
from governance.who_could import who_could
from tests import study
from tests.audits.test_export_forms import ask as ask_export
from tests.audits.test_export_forms import files
from tests.audits.test_exports import made, unpacked
from tests.audits.trail import write_keys
from tests.cast import Cast
from tests.governance.addresses import CALLS, SOON
from tests.governance.ground import lay, principal
from tests.governance.ground import made as answered
from tests.governance.screens import SCREENS, address_of
from tests.governance.test_access import cast as cast  # the fixture: with Alma and Ugo, administrators
from tests.governance.test_access import give, shell
from tests.governance.test_signoffs import OUTSIDE, invited, signed, waiting
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = "umbrella-reason-of-hers"


class As:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(), cast.headers(name)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/privacy/{path}", headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/privacy/{path}", json.dumps(body or {}), content_type="application/json",
            headers={**self.headers, **headers},
        )  # fmt: skip


def wrote(cast: Cast, name: str = "ana", words: str = WORDS) -> Event:
    """An event with a text of this person."""
    with transaction.atomic():
        return record(
            cast.command(name),
            verb="promotion.withdrawn",
            subject=cast.workspace.ref,
            texts={"reason": words},
        )


def told(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_looked_at_first_then_erased_and_said_again(cast: Cast) -> None:
    event = wrote(cast)
    person = cast.people["ana"]
    User.objects.filter(id=person.id).update(last_name="Souza", email="ana@example.org")
    alma = As(cast, "alma")
    before = alma.get("people/ana").json()
    assert (before["id"], before["username"], before["name"]) == (str(person.id), "ana", "Ana Souza")
    assert (before["texts"], before["allowed"], before["reasons"], before["holds"]) == (1, True, [], [])
    assert (before["erased_at"], before["held_elsewhere"], before["exports"]) == (None, 0, 0)
    assert alma.get(f"people/{person.id}").json() == before
    with unchanged(refusals=0):
        for gap in ({}, {"reason": " "}, {"reason": "x" * 4001}):
            told(alma.post("people/ana/erasure", gap), 400, "invalid")
    key = {"Idempotency-Key": "request-17"}
    done = alma.post("people/ana/erasure", {"reason": "letter of 3 May"}, **key)
    assert done.status_code == 200, done.content
    body = done.json()
    assert (body["person"], body["texts"], body["account"]) == (str(person.id), 1, True)
    with unchanged(refusals=0):
        again = alma.post("people/ana/erasure", {"reason": "letter of 3 May"}, **key)
        assert (again.status_code, again.json()) == (200, body), "though nobody is called ana any more"
        told(alma.post("people/ana/erasure", {"reason": "another"}, **key), 422, "idempotency_key_reused")
        told(alma.post("people/ana/erasure", {"reason": "letter of 3 May"}), 404, "not_found")
    assert text_of(event.id, "reason") == ""
    assert text_of(UUID(body["event"]), "reason") == "letter of 3 May"
    after = alma.get(f"people/{person.id}").json()
    assert (after["texts"], after["erased_at"], after["allowed"]) == (0, body["erased_at"], True)
    assert after["username"] == f"erased-{person.id.hex[:12]}"
    assert after["name"] == f"erased person ({str(person.id)[:8]})"
    assert As(cast, "rita").get("people/ana").status_code == 404


def test_who_may_not(cast: Cast) -> None:
    wrote(cast)
    alma, rita, bia = As(cast, "alma"), As(cast, "rita"), As(cast, "bia")
    hold = rita.post("holds", {"person": "bruno", "reason": "case 1"}).json()["id"]
    with unchanged(refusals=0):
        for path in ("people/ana", "people/nobody", f"holds/{hold}"):
            told(bia.get(path), 404, "not_found")
        told(bia.post("people/ana/erasure", {"reason": "r"}), 404, "not_found")
        told(bia.post(f"holds/{hold}/lifting", {"reason": "r"}), 404, "not_found")
        assert bia.get("holds").json()["results"] == []
        told(alma.get("people/nobody"), 404, "not_found")
        told(alma.post("people/nobody/erasure", {"reason": "r"}), 404, "not_found")
        told(rita.post("holds", {"person": "nobody", "reason": "r"}), 404, "not_found")
        told(rita.get("holds?standing=maybe"), 400, "invalid")
        told(rita.get("holds?person_id=1"), 400, "query_parameter_unknown")
    for who, path, body in (
        (rita, "people/ana/erasure", {"reason": "r"}),
        (alma, "holds", {"person": "ana", "reason": "r"}),
        (bia, "holds", {"person": "ana", "reason": "r"}),
        (alma, f"holds/{hold}/lifting", {"reason": "r"}),
    ):
        with unchanged(refusals=1):
            told(who.post(path, body), 403, "not_permitted")
    reasons = [reason["code"] for reason in rita.get("people/ana").json()["reasons"]]
    assert reasons == ["not_permitted"], "who only holds sees what there is, and that they may not erase it"


def test_by_no_service_token_whatever_it_was_given(cast: Cast) -> None:
    wrote(cast)
    robot = principal(cast, "robot", list(ROLES), kind="service")
    client = Client()
    assert client.get("/api/v1/privacy/people/ana", headers=robot.headers).status_code == 404
    with unchanged(refusals=1):
        answer = client.post(
            "/api/v1/privacy/holds", {"person": "ana", "reason": "r"}, content_type="application/json",
            headers=robot.headers,
        )  # fmt: skip
    told(answer, 403, "not_permitted")


def test_holds_are_listed_placed_and_lifted(cast: Cast) -> None:
    wrote(cast)
    alma, rita = As(cast, "alma"), As(cast, "rita")
    key = {"Idempotency-Key": "case-12"}
    first = rita.post("holds", {"person": "ana", "reason": "case 12"}, **key)
    assert first.status_code == 201
    hold = first.json()
    assert (hold["standing"], hold["reason"], hold["placed_by"]) == (
        True,
        "case 12",
        str(cast.people["rita"].id),
    )
    assert hold["person"] == {"id": str(cast.people["ana"].id), "username": "ana", "name": "Ana"}
    with unchanged(refusals=0):
        assert rita.post("holds", {"person": "ana", "reason": "case 12"}, **key).json() == hold
    second = rita.post("holds", {"person": str(cast.people["ana"].id), "reason": "case 13"}).json()
    third = rita.post("holds", {"person": "bruno", "reason": "case 14"}).json()
    with unchanged(refusals=0):
        told(rita.post(f"holds/{hold['id']}/lifting", {"reason": "\u2003"}), 400, "invalid")
    with unchanged(refusals=1):
        told(alma.post("people/ana/erasure", {"reason": "asked"}), 409, "erasure_on_hold")
    seen = alma.get("people/ana").json()
    assert [row["id"] for row in seen["holds"]] == [hold["id"], second["id"]]
    assert [reason["code"] for reason in seen["reasons"]] == ["erasure_on_hold"]
    lifted = rita.post(f"holds/{hold['id']}/lifting", {"reason": "settled"}).json()
    assert (lifted["standing"], lifted["lifting_reason"]) == (False, "settled")
    assert lifted["lifted_by"] == str(cast.people["rita"].id)
    assert rita.get(f"holds/{hold['id']}").json() == lifted
    with unchanged(refusals=1):
        told(rita.post(f"holds/{hold['id']}/lifting", {"reason": "again"}), 409, "hold_lifted")

    def listed(query: str) -> list[str]:
        return [row["id"] for row in alma.get(f"holds?{query}").json()["results"]]

    ids = [third["id"], second["id"], hold["id"]]
    assert listed("") == ids
    assert listed("order=oldest") == ids[::-1]
    assert listed("person=ana") == ids[1:]
    assert listed("person=ana&standing=true") == [second["id"]]
    assert listed("standing=false") == [hold["id"]]
    assert listed("person=nobody") == []
    page = alma.get("holds?page_size=2").json()
    rest = alma.client.get(page["next"], headers=alma.headers).json()
    assert [row["id"] for row in (*page["results"], *rest["results"])] == ids
    rita.post(f"holds/{second['id']}/lifting", {"reason": "settled"})
    assert alma.post("people/ana/erasure", {"reason": "asked"}).status_code == 200
    assert rita.get(f"holds/{hold['id']}").json()["person"]["name"].startswith("erased person")


def test_the_border_of_a_workspace(cast: Cast) -> None:
    """Davi is another workspace's: neither he nor what is held on him is there; and a hold there binds here."""
    away = Command(system_actor("shell", cast.elsewhere.id))
    with transaction.atomic():
        record(
            cast.command("davi"),
            verb="promotion.withdrawn",
            subject=cast.elsewhere.ref,
            texts={"reason": "x"},
        )
    theirs = place_hold(command=away, person=cast.people["davi"].id, reason="theirs").value
    alma, rita, davi = As(cast, "alma"), As(cast, "rita"), str(cast.people["davi"].id)
    with unchanged(refusals=0):
        for name in ("davi", davi):
            told(alma.get(f"people/{name}"), 404, "not_found")
            told(alma.post(f"people/{name}/erasure", {"reason": "r"}), 404, "not_found")
            told(rita.post("holds", {"person": name, "reason": "r"}), 404, "not_found")
            assert rita.get(f"holds?person={name}").json()["results"] == []
        told(rita.get(f"holds/{theirs.id}"), 404, "not_found")
        told(rita.post(f"holds/{theirs.id}/lifting", {"reason": "r"}), 404, "not_found")
        assert rita.get("holds").json()["results"] == []
        for run, by, more in (
            (erase_person, "alma", {"person": UUID(davi)}),
            (place_hold, "rita", {"person": UUID(davi)}),
            (lift_hold, "rita", {"hold_id": theirs.id}),
        ):
            with pytest.raises(NotFound):
                run(command=cast.command(by), reason="r", **more)
    # Made elsewhere, at work here: seen and held here, erased there only.
    guest = create_person(command=away, username="vera").value
    give(cast, "shell", "auditor", person=guest)
    with unchanged(refusals=1):
        told(alma.post("people/vera/erasure", {"reason": "r"}), 409, "erasure_elsewhere")
    assert [row["code"] for row in alma.get("people/vera").json()["reasons"]] == ["erasure_elsewhere"]
    assert rita.post("holds", {"person": "vera", "reason": "ours"}).status_code == 201
    with unchanged(refusals=1), pytest.raises(Conflict, match="erasure_on_hold"):
        erase_person(command=away, person=guest.id, reason="r")
    mine = Command(system_actor("shell", cast.workspace.id))
    hold = place_hold(command=away, person=guest.id, reason="theirs, too").value
    with unchanged(refusals=0), pytest.raises(NotFound):
        lift_hold(command=mine, hold_id=hold.id, reason="r")
    assert alma.get("people/vera").json()["held_elsewhere"] == 1


def test_oneself_and_a_superuser(cast: Cast) -> None:
    alma = As(cast, "alma")
    with unchanged(refusals=1):
        told(alma.post("people/alma/erasure", {"reason": "r"}), 409, "erasure_of_oneself")
    call_command("createsuperuser", username="operator", email="", interactive=False, verbosity=0)
    with unchanged(refusals=1):
        told(alma.post("people/operator/erasure", {"reason": "r"}), 403, "erasure_of_superuser")
    assert [row["code"] for row in alma.get("people/operator").json()["reasons"]] == ["erasure_of_superuser"]
    call_command("erase_person", "operator", "--reason", "r", stdout=io.StringIO())
    assert not User.objects.filter(username="operator").exists()


def test_an_erased_account_is_over(cast: Cast) -> None:
    bia, root = cast.people["bia"], User.objects.create_superuser(username="root", password=None)
    before, headers = timezone.now(), cast.headers("bia")
    for person in (bia, root):
        erase_person(command=shell(cast), person=person.id, reason="asked")
    after = timezone.now()
    bia.refresh_from_db()
    assert bia.erased
    with unchanged(refusals=1), pytest.raises(Conflict, match="account_erased"):
        reactivate_person(command=cast.command("alma"), person=bia, reason="back")
    with unchanged(refusals=0):
        deactivate_person(command=cast.command("alma"), person=bia, reason="gone")
        assert Client().get("/api/v1/me", headers=headers).status_code == 401

    def could(at: Any) -> tuple[bool, int]:
        answer = who_could(cast.workspace.id, "promotion.decide", at)
        return bia.id in [row.user.id for row in answer.people], len(answer.superusers)

    assert could(before)[0]
    assert could(after) == (False, 0)


def test_nobody_is_called_like_somebody_erased(cast: Cast) -> None:
    """The name an erasure leaves is bound to the id, which nobody knows before an account is made."""
    taken = create_person(command=cast.command("alma"), username=f"erased-{uuid4().hex[:12]}").value
    assert not taken.erased
    assert taken.label == taken.username


# --- at the same time -----------------------------------------------------------------------------------------


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[threading.Thread]:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(30)
    assert not thread.is_alive()


def waits_for_a_lock() -> None:
    """Until some other connection waits for a lock (of a row, or of a transaction that has not ended)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with connections["migrator"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("first", [True, False], ids=["their-first-text", "with-a-key"])
def test_an_erasure_over_http_waits_for_who_is_writing(cast: Cast, first: bool) -> None:
    """Whether they have a key already or make it now: what is committed before the erasure is erased by it."""
    if not first:
        wrote(cast, words="earlier")
    alma, answers = As(cast, "alma"), list[Any]()
    with meanwhile_erasing(alma, answers):
        event = wrote(cast)
        waits_for_a_lock()
        assert answers == []
    assert [answer.status_code for answer in answers] == [200], answers[0].content
    assert answers[0].json()["texts"] == (1 if first else 2)
    assert text_of(event.id, "reason") == ""
    assert not PersonalKey.objects.filter(person_id=cast.people["ana"].id).exists()


@contextmanager
def meanwhile_erasing(alma: As, answers: list[Any]) -> Iterator[None]:
    """Inside is one transaction, which began before the erasure was asked for."""
    began, thread = threading.Event(), list[threading.Thread]()

    def erase() -> None:
        began.wait(20)
        answers.append(alma.post("people/ana/erasure", {"reason": "asked"}))

    with meanwhile(erase) as running, transaction.atomic():
        thread.append(running)
        real = sealing.key_for

        def key_for(person: UUID) -> bytes:
            key = real(person)
            began.set()
            return key

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("audits.ledger.record.sealing.key_for", key_for)
            yield


def test_a_hold_and_an_erasure_do_not_pass_each_other_by(cast: Cast) -> None:
    """Whichever is first: a hold that was placed before the erasure ended was seen by it."""
    event = wrote(cast)
    alma, answers = As(cast, "alma"), list[Any]()
    began = threading.Event()

    def erase() -> None:
        began.wait(20)
        answers.append(alma.post("people/ana/erasure", {"reason": "asked"}))

    with meanwhile(erase), pytest.MonkeyPatch.context() as patch:

        def slowly(*args: Any, **kwargs: Any) -> Event:
            began.set()
            waits_for_a_lock()
            return record(*args, **kwargs)

        patch.setattr("audits.services.erasure.record", slowly)
        place_hold(command=cast.command("rita"), person=cast.people["ana"].id, reason="case 1")
        patch.undo()
    told(answers[0], 409, "erasure_on_hold")
    assert text_of(event.id, "reason") == WORDS


# --- afterwards -----------------------------------------------------------------------------------------------


def test_who_writes_again_has_another_key(cast: Cast) -> None:
    """A request that was under way, or a link that still stands: earlier texts stay gone and hinder nobody's reading,
    the new one can be read, and is erased with the next erasure."""
    version = study.study(cast)
    study.put_in_force(cast, OUTSIDE)
    promotion = waiting(cast, version)
    link = invited(cast, promotion, name="Eva Lima")
    invitation = SignoffInvitation.objects.get()
    alma, clara = As(cast, "alma"), cast.headers("clara")
    assert alma.get(f"people/{invitation.actor_id}").json()["name"] == "Eva Lima"
    done = alma.post(f"people/{invitation.actor_id}/erasure", {"reason": "asked"}).json()
    assert (done["texts"], done["account"]) == (2, False)
    study.sequence()
    signed(link, promotion.dossier_digest)
    study.sequence()
    seen = alma.get(f"people/{invitation.actor_id}").json()
    assert (seen["texts"], seen["username"]) == (1, None)
    assert seen["name"] == f"erased person ({str(invitation.actor_id)[:8]})"
    bodies = [
        Client().get(path, headers=clara).content.decode()
        for path in ("/api/v1/audit/events?page_size=500", f"/api/v1/promotions/{promotion.id}/signoffs")
    ]
    decided = Event.objects.get(verb="promotion.decided", actor_id=invitation.actor_id)
    assert text_of(decided.id, "reason") == "as agreed"
    assert not any("Eva" in body or "eva@" in body for body in bodies)
    report = verify_ledger(checkpoint_key().vkey)
    assert (report.verified, report.erased) == (True, 2), report.findings
    assert alma.post(f"people/{invitation.actor_id}/erasure", {"reason": "asked"}).json()["texts"] == 1
    study.sequence()
    report = verify_ledger(checkpoint_key().vkey)
    assert (report.verified, report.erased) == (True, 3), report.findings


def test_a_text_that_was_changed_after_an_erasure_is_told(cast: Cast) -> None:
    """Only what was there when they were erased is taken for erased."""
    wrote(cast)
    erase_person(command=shell(cast), person=cast.people["ana"].id, reason="asked")
    later = wrote(cast, words="later")
    row = EventText.objects.get(event=later)
    row.sealed = bytes(row.sealed)[:-1] + bytes([bytes(row.sealed)[-1] ^ 1])
    damaged: set[Any] = set()
    assert sealing.opened([row], damaged) == {}
    assert damaged == {(later.id, "reason")}


@pytest.mark.past_the_door
def test_nothing_of_theirs_is_read_anywhere(cast: Cast, settings: Any, tmp_path: Path) -> None:
    """Every address that answers and every page, exports of every form, webhooks and mail; the proofs verify."""
    write_keys()
    ground = lay(cast)
    ana = cast.people["ana"]
    User.objects.filter(id=ana.id).update(first_name="Anabela", last_name="Cazarré", email="ac@example.org")
    version_id = study.ModelVersion.objects.get(model_id=ground.model.id, n=1).id
    finding = open_finding(
        command=cast.command("ana"), version_id=version_id, severity="low", owner="ana", due=_soon(),
        text=WORDS,
    ).value  # fmt: skip
    ground.ids["finding_id"] = str(finding.id)
    study.sequence()
    everybody = principal(cast, "reader", list(ROLES))
    client, pages = Client(raise_request_exception=False), Client(raise_request_exception=False)
    pages.force_login(User.objects.get(username="reader"))
    User.objects.filter(username="reader").update(is_staff=True)
    traces = (WORDS, "Anabela", "Cazarré", "ac@example.org")

    def reading() -> dict[str, list[str]]:
        found = {}
        for route in CALLS:
            if route.startswith("GET "):
                answer = answered(client, ground, route, everybody.headers)
                assert answer.status_code < 500, (route, answer.content)
                body = b"".join(answer.streaming_content) if answer.streaming else answer.content
                found[route] = _found(traces, body.decode("utf-8", "replace"))
        for query in (f"q={quote(WORDS)}", "q=Anabela", f"actor={ana.id}", "verb=finding.opened"):
            answer = client.get(f"/api/v1/audit/events?{query}&page_size=500", headers=everybody.headers)
            found[f"trail {query}"] = _found(traces, json.dumps(answer.json()["results"], ensure_ascii=False))
            shown = pages.get(f"/admin/trail?{query}").content.decode()
            found[f"page {query}"] = _found(traces, shown.replace(query.partition("=")[2], ""))
        for name, screen in SCREENS.items():
            if screen.post is None:
                answer = pages.get(address_of(name, ground))
                assert answer.status_code in (200, 302, 404, 405), (name, answer.content)
                found[f"page {name}"] = _found(traces, answer.content.decode())
        for form in ("csv", "jsonl"):
            whole = files(made(ask_export(cast, form)))
            found[f"export {form}"] = _found(traces, b"\n".join(whole.values()).decode())
        folder = unpacked(made(ask_export(cast)), tmp_path / uuid4().hex)
        assert verify_export(folder, str(checkpoint_key().vkey)).verified
        found["export bundle"] = _found(
            traces,
            "\n".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file()),
        )
        bodies = [body_for(leaf).decode() for leaf in Leaf.objects.select_related("event__workspace")]
        found["webhooks"] = _found(traces, "\n".join(bodies))
        return found

    before = reading()
    for place in (
        "GET audit/events", "trail q=Anabela", "page trail", "page people", "page roles", "page findings",
        "page promotion", "export csv", "export jsonl", "export bundle", "page q=Anabela", "GET access/people",
    ):  # fmt: skip
        assert before[place], (place, "the test looks in the wrong place")
    assert before["export bundle"] == [WORDS], "names are in no bundle"
    assert before["webhooks"] == [], "no webhook carries a text or a name"

    settings.CRIVO_MAIL = True
    waits = study.Promotion.objects.get(id=ground.ids["promotion_id"])
    Notice.objects.create(
        workspace=cast.workspace, promotion=waits, person=ana, dossier_digest=waits.dossier_digest,
        next_at=timezone.now(),
    )  # fmt: skip
    done = As(cast, "alma").post("people/ana/erasure", {"reason": "asked by letter"})
    assert done.status_code == 200, done.content
    study.sequence()
    mail.outbox.clear()
    notices.sweep()
    assert [address for message in mail.outbox for address in message.to if address in traces] == []
    assert Notice.objects.get(person=ana).state == "skipped"

    after = reading()
    assert {place: found for place, found in after.items() if found} == {}
    assert client.get(f"/api/v1/audit/events?q={quote(WORDS)}", headers=everybody.headers).json()[
        "results"
    ] == []  # fmt: skip
    shown = pages.get("/admin/trail").content.decode()
    assert f"erased person ({str(ana.id)[:8]})" in shown
    report = verify_ledger(checkpoint_key().vkey)
    assert report.verified, report.findings
    assert report.erased >= 2
    assert privacy.texts_left(ana.id) == 0


def _soon() -> Any:
    from django.utils.dateparse import parse_datetime

    return parse_datetime(SOON)


def _found(traces: tuple[str, ...], text: str) -> list[str]:
    return [trace for trace in traces if trace in text]


def test_a_reason_too_long_is_none(cast: Cast) -> None:
    for run, by in ((erase_person, "alma"), (place_hold, "rita")):
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
            run(command=cast.command(by), person=cast.people["bruno"].id, reason="x" * 4001)
