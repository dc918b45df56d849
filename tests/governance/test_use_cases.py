"""What is asked of a use case, the tier its answers compute, and who may make it another one."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.db.utils import ProgrammingError
from django.test import Client

from audits.errors import Conflict, Forbidden, Unprocessable
from audits.models import Event
from audits.sealing import texts_of
from governance import intake
from governance.in_force import policy_for
from governance.models import Promotion, UseCase
from governance.services.use_cases import edit_use_case, register_use_case, set_tier
from tests import scenario
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = intake.questionnaire()
COMPLETE = {
    "affected_people": "Patients of the clinic.",
    "human_oversight": "A nurse calls; the list only orders the calls.",
    "legal_basis": ["LGPD-11-II-f", "GDPR-9-2-h"],
}


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def answers(*yes: str, **other: Any) -> dict[str, Any]:
    said = {question.id: "no" for question in ASKED.questions} | dict.fromkeys(yes, "yes") | other
    return {"version": ASKED.version, "answers": said}


def register(cast: Cast, by: str = "ana", **more: Any) -> UseCase:
    given = {"name": "calls", "purpose": "Whom to call first.", **more}
    return register_use_case(command=cast.command(by), **given).value


# The questionnaire


def test_the_questions_are_well_formed() -> None:
    ids = [question.id for question in ASKED.questions]
    assert len(ids) == len(set(ids)) >= 20
    for question in ASKED.questions:
        assert set(question.text) == {"en", "pt-br"}, question.id
        assert bool(question.knock_out) != bool(question.weight), question.id
        assert question.basis
    assert {question.knock_out for question in ASKED.questions} == {"", "high", "prohibited"}
    assert sum("Annex III" in question.basis for question in ASKED.questions) == 8
    assert sum(question.knock_out == "prohibited" for question in ASKED.questions) == 8
    assert all(intake.rank(low) < intake.rank(high) for low, high in pairwise(intake.ORDER))
    assert {code.split("-")[0] for code in intake.legal_bases()} == {"GDPR", "LGPD", "none"}


@pytest.mark.parametrize(
    ("yes", "tier", "score", "because"),
    [
        ((), "minimal", 0, ()),
        (("scale",), "minimal", 1, ()),
        (("personal_data",), "limited", 2, ("personal_data",)),
        (("legal_effect", "profiling"), "high", 8, ("legal_effect", "profiling")),
        (("legal_effect", "personal_data"), "limited", 7, ("legal_effect", "personal_data")),
        (("employment",), "high", 0, ("employment",)),
        (("employment", "scale"), "high", 1, ("employment",)),
        (("social_scoring", "employment", "special_data"), "prohibited", 4, ("social_scoring",)),
    ],
)
def test_the_tier_of_answers(yes: tuple[str, ...], tier: str, score: int, because: tuple[str, ...]) -> None:
    found = intake.assess(answers(*yes)["answers"])
    assert (found.tier, found.score, set(found.because)) == (tier, score, set(because))


def test_unsure_counts_as_yes_and_booleans_will_do() -> None:
    assert intake.assess(answers(education="unsure")["answers"]).tier == "high"
    kept = intake.checked_answers(answers(education=True, justice=False))
    assert (kept["answers"]["education"], kept["answers"]["justice"]) == ("yes", "no")
    assert (kept["version"], kept["digest"]) == (ASKED.version, ASKED.digest)


# Registering


def test_a_tier_is_computed_and_pinned_to_its_questions(cast: Cast) -> None:
    use_case = register(cast, questionnaire=answers("essential_services"), details=COMPLETE)
    assert (use_case.risk_tier, use_case.computed_tier, use_case.n) == ("high", "high", 1)
    event = Event.objects.get(verb="use_case.registered")
    assert event.detail == {
        "risk_tier": "high",
        "computed_tier": "high",
        "questionnaire": {"version": ASKED.version, "digest": ASKED.digest},
    }
    kept = use_case.history.get()
    assert (
        kept.event_id,
        kept.content["intake"],
        kept.content["questionnaire"]["answers"]["essential_services"],
    ) == (
        event.id,
        COMPLETE,
        "yes",
    )
    with unchanged(refusals=0):
        again = register_use_case(
            command=cast.command("ana"), name="calls", purpose="Whom to call first.",
            questionnaire=answers("essential_services"), details=COMPLETE,
        )  # fmt: skip
    assert (again.created, again.value.id) == (False, use_case.id)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({}, "tier_or_questionnaire", "risk_tier"),
        ({"risk_tier": "high", "questionnaire": answers()}, "tier_or_questionnaire", "risk_tier"),
        ({"risk_tier": "prohibited"}, "risk_tier_unknown", "risk_tier"),
        (
            {"questionnaire": answers("manipulation"), "details": COMPLETE},
            "use_case_prohibited",
            "questionnaire",
        ),
        ({"questionnaire": answers("education")}, "intake_incomplete", "affected_people"),
        ({"questionnaire": {**answers(), "version": 99}}, "questionnaire_outdated", "questionnaire.version"),
        ({"questionnaire": answers(made_up="yes")}, "questionnaire_unknown", "questionnaire.answers"),
        (
            {"questionnaire": {"version": 1, "answers": {}}},
            "questionnaire_incomplete",
            "questionnaire.answers",
        ),
        ({"questionnaire": answers(scale="maybe")}, "answer_invalid", "questionnaire.answers.scale"),
        ({"risk_tier": "high", "details": {"legal_basis": ["GDPR-1"]}}, "legal_basis_unknown", "legal_basis"),
        ({"risk_tier": "high", "purpose": " "}, "purpose_missing", "purpose"),
    ],
)
def test_what_is_not_registered(cast: Cast, given: dict[str, Any], code: str, field: str) -> None:
    with unchanged(refusals=1), pytest.raises(Unprocessable) as refused:
        register(cast, **given)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert not UseCase.objects.exists()


def test_the_knock_outs_are_named_with_their_articles(cast: Cast) -> None:
    with pytest.raises(Unprocessable) as refused:
        register(cast, questionnaire=answers("social_scoring", "manipulation"), details=COMPLETE)
    assert [reason.params for reason in refused.value.reasons] == [
        {"question": "manipulation", "text": "AI Act Art. 5(1)(a)"},
        {"question": "social_scoring", "text": "AI Act Art. 5(1)(c)"},
    ]


def test_another_content_under_the_same_name(cast: Cast) -> None:
    register(cast, risk_tier="limited")
    for other in (
        {"risk_tier": "high"},
        {"risk_tier": "limited", "purpose": "Else."},
        {"questionnaire": answers()},
    ):
        with unchanged(refusals=1), pytest.raises(Conflict, match="use_case_differs"):
            register(cast, **other)


# Changing


def test_every_change_is_an_event_and_a_line_of_the_history(cast: Cast) -> None:
    use_case = register(cast, questionnaire=answers("personal_data"))
    edited = edit_use_case(
        command=cast.command("ana"), use_case=use_case, n=1, details={"problem": "Calls come late."}
    ).value
    assert (edited.n, edited.intake, edited.purpose) == (
        2,
        {"problem": "Calls come late."},
        "Whom to call first.",
    )
    raised = edit_use_case(
        command=cast.command("ana"),
        use_case=use_case,
        n=2,
        questionnaire=answers("education"),
        details=COMPLETE,
    ).value
    assert (raised.risk_tier, raised.computed_tier) == ("high", "high")
    first, second, third = Event.objects.filter(subject_kind="use_case").order_by("subject_seq")
    assert (second.before, third.before) == (first.after, second.after)
    assert second.detail == {"changed": ["intake"]}
    assert (third.detail["from"], third.detail["risk_tier"]) == ("limited", "high")
    assert [row.content["risk_tier"] for row in use_case.history.all()] == ["limited", "limited", "high"]
    with unchanged(refusals=1), pytest.raises(Conflict, match="use_case_stale"):
        edit_use_case(command=cast.command("ana"), use_case=use_case, n=2, purpose="Old.")
    with unchanged(refusals=0):
        edit_use_case(command=cast.command("ana"), use_case=use_case, n=3, purpose="Whom to call first.")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        edit_use_case(command=cast.command("bia"), use_case=use_case, n=3, purpose="Mine.")


def test_lowering_takes_somebody_who_may_and_is_not_the_owner(cast: Cast) -> None:
    use_case = register(cast, questionnaire=answers("education"), details=COMPLETE)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        edit_use_case(command=cast.command("ana"), use_case=use_case, n=1, questionnaire=answers())
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        set_tier(command=cast.command("ana"), use_case=use_case, n=1, risk_tier="minimal", reason="r")
    lowered = set_tier(
        command=cast.command("rita"), use_case=use_case, n=1, risk_tier="limited", reason="Only a pilot."
    ).value
    assert (lowered.risk_tier, lowered.computed_tier) == ("limited", "high")
    event = Event.objects.get(verb="use_case.tier_set", outcome="done")
    assert (event.detail, next(iter(texts_of([event.id]).values()))) == (
        {"risk_tier": "limited", "from": "high", "computed_tier": "high"},
        "Only a pilot.",
    )


def test_an_owner_does_not_lower_not_even_after_giving_it_away(cast: Cast) -> None:
    use_case = register(cast, by="rita", risk_tier="high")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="tier_lowered_by_owner"):
        set_tier(command=cast.command("rita"), use_case=use_case, n=1, risk_tier="limited", reason="r")
    edit_use_case(command=cast.command("rita"), use_case=use_case, n=1, owner=cast.people["bia"])
    with unchanged(refusals=1), pytest.raises(Forbidden, match="tier_lowered_by_owner"):
        set_tier(command=cast.command("rita"), use_case=use_case, n=2, risk_tier="limited", reason="r")


def test_raising_and_what_no_override_does(cast: Cast) -> None:
    use_case = register(cast, by="rita", questionnaire=answers("personal_data"))
    for tier, reason, error, code in (
        ("prohibited", "r", Unprocessable, "tier_not_to_prohibited"),
        ("limited", "r", Conflict, "tier_unchanged"),
        ("high", " ", Unprocessable, "reason_missing"),
        ("extreme", "r", Unprocessable, "risk_tier_unknown"),
    ):
        with unchanged(refusals=1), pytest.raises(error, match=code):
            set_tier(command=cast.command("rita"), use_case=use_case, n=1, risk_tier=tier, reason=reason)
    raised = set_tier(
        command=cast.command("rita"), use_case=use_case, n=1, risk_tier="high", reason="Press."
    ).value
    assert (raised.risk_tier, raised.computed_tier) == ("high", "limited")
    kept = edit_use_case(
        command=cast.command("rita"), use_case=use_case, n=2,
        questionnaire=answers("personal_data", "scale"), details=COMPLETE,
    ).value  # fmt: skip
    assert kept.risk_tier == "high", "the override stands while the computed tier is the same"


# The tier decides


def test_the_next_verdict_is_by_the_policy_of_the_new_tier(cast: Cast) -> None:
    from governance.models import Environment

    use_case = register(cast, risk_tier="limited")
    production = Environment.objects.get(workspace=cast.workspace, name="production")
    scenario.publish()  # a policy is in force once it is
    before = policy_for(use_case, production)
    raised = set_tier(
        command=cast.command("rita"), use_case=use_case, n=1, risk_tier="high", reason="r"
    ).value
    after = policy_for(raised, production)
    assert before is not None
    assert after is not None
    assert (before.name, after.name) == ("production-limited", "production-high")


def prohibit(cast: Cast) -> None:
    use_case = UseCase.objects.get(name="diabetes-progression")
    found = edit_use_case(
        command=cast.command("ana"), use_case=use_case, n=use_case.n, questionnaire=answers("vulnerability")
    ).value
    assert found.risk_tier == "prohibited"


def test_nothing_is_promoted_for_a_prohibited_practice(cast: Cast) -> None:
    scenario.policies(cast)
    version = scenario.register(cast)
    prohibit(cast)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="use_case_prohibited"):
        scenario.request(cast, version, "development")
    use_case = UseCase.objects.get()
    with unchanged(refusals=1), pytest.raises(Conflict, match="tier_not_from_prohibited"):
        set_tier(command=cast.command("rita"), use_case=use_case, n=2, risk_tier="high", reason="r")


def test_an_open_request_is_refused_once_the_practice_is_prohibited(cast: Cast) -> None:
    promotion = scenario.awaiting_production(cast)
    scenario.word(cast, "bruno", promotion)
    prohibit(cast)
    scenario.word(cast, "bia", promotion)
    promotion = Promotion.objects.get(id=promotion.id)
    assert (promotion.state, promotion.outcome["code"]) == ("refused", "use_case_prohibited")
    assert not hasattr(promotion, "placement")


def test_the_history_cannot_be_rewritten_by_the_service(cast: Cast) -> None:
    register(cast, risk_tier="limited")
    for statement in (
        "UPDATE governance_use_case_version SET n = 9",
        "DELETE FROM governance_use_case_version",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement)


# Over HTTP


def call(
    cast: Cast, client: Client, method: str, path: str, body: Any = None, by: str = "ana", **headers: str
) -> Any:
    return client.generic(
        method, f"/api/v1/{path}", json.dumps(body) if body is not None else "",
        content_type="application/json", headers={**cast.headers(by), **headers},
    )  # fmt: skip


def test_the_way_of_a_use_case_over_http(cast: Cast, client: Client) -> None:
    form = call(cast, client, "GET", "use-case-questionnaire").json()
    assert (form["version"], form["digest"], len(form["questions"])) == (
        ASKED.version, ASKED.digest, len(ASKED.questions),
    )  # fmt: skip
    body = {
        "name": "calls", "purpose": "p", "owner": "bia", "questionnaire": answers("education"),
        "success_metrics": ["Calls within a day"], **COMPLETE,
    }  # fmt: skip
    made = call(cast, client, "POST", "use-cases", body)
    assert (made.status_code, made.json()["risk_tier"], made.json()["owner"]) == (
        201,
        "high",
        str(cast.people["bia"].id),
    )
    assert call(cast, client, "POST", "use-cases", body).status_code == 200
    tag = made.headers["ETag"]
    assert call(cast, client, "GET", "use-cases/calls", **{"If-None-Match": tag}).status_code == 304
    change = {"problem": "Calls come late."}
    assert call(cast, client, "PATCH", "use-cases/calls", change).json()["code"] == "if_match_missing"
    changed = call(cast, client, "PATCH", "use-cases/calls", change, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["n"]) == (200, 2)
    assert changed.json()["intake"] == {**COMPLETE, "success_metrics": ["Calls within a day"], **change}
    stale = call(cast, client, "PATCH", "use-cases/calls", change, **{"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (409, "use_case_stale")
    tier = {"risk_tier": "limited", "reason": "A pilot of ten."}
    new = {"If-Match": changed.headers["ETag"]}
    assert call(cast, client, "POST", "use-cases/calls/tier", tier, **new).status_code == 403
    lowered = call(cast, client, "POST", "use-cases/calls/tier", tier, by="rita", **new)
    assert (lowered.status_code, lowered.json()["risk_tier"]) == (200, "limited")
    history = call(cast, client, "GET", "use-cases/calls/history").json()["results"]
    assert [row["n"] for row in history] == [3, 2, 1]
    unknown = call(cast, client, "POST", "use-cases", {**body, "name": "b", "owner": "nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "person_unknown")
    assert call(cast, client, "GET", "use-cases/calls/history", by="davi").status_code == 404


def test_every_field_of_the_intake_is_kept_and_told(cast: Cast, client: Client) -> None:
    """What the intake asks for is what the interface takes, the event's row keeps and the answer tells."""
    told: dict[str, Any] = {name: f"About {name}." for name in intake.TEXTS}
    told |= {"success_metrics": ["Calls within a day"], "stakeholders": ["The clinic", "The insurer"]}
    told["legal_basis"] = ["LGPD-11-II-f"]
    assert set(told) == {*intake.TEXTS, *intake.LISTS}
    assert set(told) >= {
        "expected_return",
        "stakeholders",
        "human_oversight",
        "affected_people",
        "intended_users",
    }
    body = {"name": "calls", "purpose": "p", "risk_tier": "limited", **told}
    made = call(cast, client, "POST", "use-cases", body)
    assert (made.status_code, made.json()["intake"]) == (201, told), made.content
    assert call(cast, client, "GET", "use-cases/calls").json()["intake"] == told
    assert UseCase.objects.get(name="calls").history.get().content["intake"] == told


def test_a_change_is_idempotent_under_its_key(cast: Cast, client: Client) -> None:
    made = call(cast, client, "POST", "use-cases", {"name": "calls", "purpose": "p", "risk_tier": "limited"})
    headers = {"If-Match": made.headers["ETag"], "Idempotency-Key": "change-1"}
    first = call(cast, client, "PATCH", "use-cases/calls", {"purpose": "q"}, **headers)
    again = call(cast, client, "PATCH", "use-cases/calls", {"purpose": "q"}, **headers)
    assert (first.status_code, again.status_code, again.json()["n"]) == (200, 200, 2)
    assert Event.objects.filter(verb="use_case.edited").count() == 1
