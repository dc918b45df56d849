"""Refusals that no other test meets, each of which changes nothing; and that no code is without its test."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import Material, Message
from audits.errors import Refusal
from audits.models import CheckRun, Explanation, Reproduction
from audits.services.check_runs import cancel_check_run, complete_check_run, obtain_run
from audits.services.erasure import erase_person, lift_hold, place_hold
from audits.services.explanations import complete_explanation
from audits.services.reopening import note_incident
from audits.services.reproductions import complete_reproduction, request_reproduction
from governance import roles
from governance.models import PlacementReview, RoleBinding, SignoffInvitation, User
from governance.services.access import bind_role, recertify_role
from governance.services.brownfield import Row, import_running
from governance.services.conditions import verify_condition
from governance.services.explanations import request_explanation
from governance.services.external_evidence import attach_evidence
from governance.services.glass import end_glass, sign_off_alarm
from governance.services.identity import Issued, issue_token
from governance.services.keys import rotate_key
from governance.services.policy_changes import COMMIT_LIMIT, propose_policy
from governance.services.promotions import request_promotion, withdraw_promotion
from governance.services.reconciliations import MAX_ROWS, reconcile
from governance.services.reviews import complete_review
from governance.services.signoffs import Link, invite_signoff, revoke_signoff
from governance.services.suspensions import suspend_placement
from registry.models import ModelVersion, ReferenceSketch
from registry.services.sketches import fail_sketch
from registry.tabular import MAX_COLUMNS, checked_dialect
from tests import study
from tests.cast import Cast
from tests.governance.ground import Ground, lay
from tests.snapshot import unchanged

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]
ROOT = Path(__file__).parent.parent.parent
HOUR = timedelta(hours=1)


def refused(code: str, perform: Callable[[], object], *, remembered: bool = True) -> None:
    """It is refused with this code, leaves its event (but for what is no subject's) and changes nothing else."""
    with unchanged(refusals=int(remembered)), pytest.raises(Refusal) as error:
        perform()
    assert error.value.code == code


@pytest.fixture
def ground(committed_cast: Cast) -> Ground:
    return lay(committed_cast)


@pytest.fixture
def version(ground: Ground) -> ModelVersion:
    return ModelVersion.objects.get(model_id=ground.model.id, n=1)


def test_what_is_over_is_not_ended_again(committed_cast: Cast, ground: Ground) -> None:
    cast, ids, shell = committed_cast, ground.ids, study.shell(committed_cast)
    bind_role(command=shell, role="incident_manager", person=cast.people["bia"])
    bia, clara, rita = (cast.command(name) for name in ("bia", "clara", "rita"))

    def signed_off() -> object:
        return sign_off_alarm(command=clara, alarm_id=ids["alarm_id"], reason="Looked into.")

    def ended() -> object:
        return end_glass(command=bia, glass_id=ids["glass_id"], reason="Over.")

    hold = place_hold(command=rita, person=cast.people["ana"].id, reason="A suit.").value

    def lifted() -> object:
        return lift_hold(command=rita, hold_id=hold.id, reason="Settled.")

    for perform, code in (
        (signed_off, "alarm_transition"),
        (ended, "glass_transition"),
        (lifted, "hold_lifted"),
    ):
        perform()
        refused(code, perform)
    refused(
        "condition_transition",
        lambda: verify_condition(command=bia, condition_id=ids["condition_id"], holds=True, text="It is."),
    )


def test_a_review_of_what_no_longer_stands(committed_cast: Cast, ground: Ground) -> None:
    cast, ids = committed_cast, ground.ids
    placement = PlacementReview.objects.get(id=ids["review_id"]).placement_id
    suspend_placement(command=cast.command("rita"), placement_id=placement, reason="A doubt.")
    refused(
        "placement_not_live",
        lambda: complete_review(
            command=cast.command("bruno"), review_id=ids["review_id"], reason="It may stay."
        ),
    )


def test_a_request_that_is_open_and_a_format_no_policy_accepts(
    committed_cast: Cast, version: ModelVersion
) -> None:
    pipeline = committed_cast.command("pipeline")

    def asked(about: ModelVersion, to: str) -> Callable[[], object]:
        return lambda: request_promotion(command=pipeline, version_id=about.id, to=to, reason="r")

    refused("promotion_already_open", asked(version, "homologation"))
    pickled = study.model_version(committed_cast, b"pickled", format="pickle", seed=11)
    refused("artifact_format_refused", asked(pickled, "development"))


def test_links_outside(committed_cast: Cast, ground: Ground) -> None:
    cast, ids = committed_cast, ground.ids
    bia, promotion, link = cast.command("bia"), ids["promotion_id"], ids["invitation_id"]
    SignoffInvitation.objects.filter(id=link).update(used_at=timezone.now())
    refused(
        "signoff_settled", lambda: revoke_signoff(command=bia, promotion_id=promotion, invitation_id=link)
    )
    withdraw_promotion(command=cast.command("pipeline"), promotion_id=promotion, reason="r")
    refused(
        "signoff_closed",
        lambda: invite_signoff(
            command=bia, promotion_id=promotion, role="customer", name="Zoe", email="z@example.org",
            lifetime=HOUR, link=Link(),
        ),
    )  # fmt: skip


def test_nobody_gives_or_recertifies_what_they_do_not_hold(
    committed_cast: Cast, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today who may give roles may give all of them; with a shorter table, the rest is not theirs to give."""
    clara, person = committed_cast.command("clara"), User.objects.get(username="bystander")
    binding = RoleBinding.objects.get(id=ground.ids["binding_id"])
    monkeypatch.setitem(roles.GRANTS, "administrator", frozenset({"auditor"}))
    refused("role_not_grantable", lambda: bind_role(command=clara, role="approver", person=person))
    refused("role_not_grantable", lambda: recertify_role(command=clara, binding=binding, reason="needed"))
    assert bind_role(command=clara, role="auditor", person=person).created


def test_tokens_and_keys(committed_cast: Cast, ground: Ground) -> None:
    clara, person = committed_cast.command("clara"), committed_cast.people["clara"]

    def issued(scopes: list[str], lifetime: timedelta) -> Callable[[], object]:
        return lambda: issue_token(
            command=clara, person=person, name="n", kind="service", scopes=scopes, lifetime=lifetime,
            issued=Issued(),
        )  # fmt: skip

    refused("scope_unknown", issued(["everything"], HOUR))
    refused("scope_unknown", issued([], HOUR))
    for lifetime in (timedelta(0), timedelta(days=400)):
        refused("token_lifetime", issued(["gate:read"], lifetime))
    shell = study.shell(committed_cast)
    for overlap in (timedelta(minutes=1), timedelta(days=400)):
        refused(
            "key_overlap",
            lambda: rotate_key(command=shell, purpose="attestation", overlap=overlap),  # noqa: B023
        )


def test_erasing_oneself(committed_cast: Cast, ground: Ground) -> None:
    clara = committed_cast.people["clara"]
    refused(
        "erasure_of_oneself",
        lambda: erase_person(command=committed_cast.command("clara"), person=clara.id, reason="r"),
    )


def test_lists_that_are_none_or_too_long(committed_cast: Cast, ground: Ground) -> None:
    rita = committed_cast.command("rita")
    row = Row(model="progression", digest=f"sha256:{'2' * 64}", environment="production")
    for rows in ([], [row] * 501):
        refused("import_size", lambda: import_running(command=rita, rows=rows))  # noqa: B023
    refused("reconciliation_size", lambda: reconcile(command=rita, running=[row] * (MAX_ROWS + 1)))


def test_evidence_records_and_commits_that_are_none(committed_cast: Cast, version: ModelVersion) -> None:
    cast = committed_cast
    stored = blobs.store(cast.workspace.id, io.BytesIO(b"<testsuite/>"), cap=1 << 20)
    refused(
        "evidence_kind_unknown",
        lambda: attach_evidence(
            command=cast.command("ana"), model="progression", n=1, stored=stored, check="data.quality",
            kind="picture", title="t", issuer="i",
        ),
    )  # fmt: skip
    for given in ({"age": [1]}, {f"c{n}": 1 for n in range(20_000)}):
        refused(
            "record_malformed",
            lambda: request_explanation(
                command=cast.command("pipeline"),
                version_id=version.id,
                given=given,  # noqa: B023
            ),
        )
    for commit in ("x" * (COMMIT_LIMIT + 1), "a\nb"):
        refused(
            "commit_malformed",
            lambda: propose_policy(
                command=cast.command("rita"),
                text=study.PRODUCTION,
                reason="r",
                commit=commit,  # noqa: B023
            ),
        )


@pytest.mark.parametrize(
    ("content", "metadata", "code", "status"),
    [
        (b"no zip", '{"format": "parquet-folder"}', "parquet_folder_expected", 422),
        (
            ",".join(f"c{n}" for n in range(MAX_COLUMNS + 1)).encode() + b"\n",
            "{}",
            "upload_csv_too_many_columns",
            422,
        ),
        (study.CSV, '{"dialect": {"separator": "ab"}}', "invalid", 400),
    ],
)
def test_data_that_is_none(
    committed_cast: Cast, ground: Ground, content: bytes, metadata: str, code: str, status: int
) -> None:
    data = {"file": SimpleUploadedFile("u", content), "metadata": metadata}
    with unchanged(refusals=int(status == 422)):
        answer = Client().post(
            "/api/v1/datasets/patients/versions", data, headers=committed_cast.headers("pipeline")
        )
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content


@pytest.mark.parametrize(
    "given", [[], {"colour": "red"}, {"separator": "ab"}, {"decimal": ";"}, {"encoding": "rot13"}]
)
def test_a_dialect_that_is_none(given: Any) -> None:
    """The API says so as `invalid` (400)."""
    with pytest.raises(Refusal) as error:
        checked_dialect(given)
    assert error.value.code == "dialect_unknown"


def test_who_was_overtaken_writes_nothing(committed_cast: Cast, ground: Ground) -> None:
    """A worker whose lease ran out: another has the run. No subject's refusal: nobody did anything to it."""
    worker = Command(system_actor("worker", committed_cast.workspace.id))
    given: dict[str, Any] = {"command": worker, "result": study.ratio_result(), "run_environment": {}}
    for code, complete, key, row in (
        ("check_run_taken_over", complete_check_run, "run_id", CheckRun.objects.latest("id")),
        ("explanation_taken_over", complete_explanation, "explanation_id", Explanation.objects.get()),
        ("reproduction_taken_over", complete_reproduction, "reproduction_id", Reproduction.objects.get()),
    ):
        refused(code, lambda: complete(**given, fence=row.fence + 1, **{key: row.id}), remembered=False)  # noqa: B023
    sketch = ReferenceSketch.objects.get()
    late: dict[str, Any] = {"sketch_id": sketch.id, "fence": sketch.fence + 1, "run_environment": {}}
    why = Message("check_crashed", {"exception": "KeyError", "where": "-"})
    refused("sketch_taken_over", lambda: fail_sketch(command=worker, error=why, **late), remembered=False)


def test_a_cancelled_check_is_not_computed_again(committed_cast: Cast, version: ModelVersion) -> None:
    ana = committed_cast.command("ana")
    run = obtain_run(
        study.shell(committed_cast).actor, subject=version.ref, slug="data.quality", parameters={}, seed=1,
        semantics={}, materials=(Material("evaluation", version.evaluation.digest, "csv"),), confinement_level=1,
        fresh_since=timezone.now(),
    )  # fmt: skip
    cancel_check_run(command=ana, run_id=run.id, reason="the wrong version")
    refused("reproduction_cancelled", lambda: request_reproduction(command=ana, run_id=run.id))


def test_a_log_that_began_otherwise(committed_cast: Cast) -> None:
    shell = study.shell(committed_cast)

    def noted(earlier: str) -> Callable[[], object]:
        return lambda: note_incident(command=shell, earlier=earlier, note="n", held=0, incident="A fork.")

    noted("crivo.example/1")()
    refused("log_known", noted("crivo.example/2"))
    assert settings.CRIVO_ORIGIN


REFUSALS = {"Forbidden", "Conflict", "Unprocessable", "stepped"}


def refusals() -> Iterator[tuple[str, str]]:
    """(code, file) of every refusal that is raised, or returned to be raised, outside the views."""
    for package in ("audits", "registry", "governance"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT)
            if {"api", "console", "client", "management", "migrations"}.intersection(where.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Name) and called.id in REFUSALS and isinstance(node, ast.Call):
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant):
                        yield first.value, str(where)


def test_no_refusal_is_without_a_test_that_nothing_changed() -> None:
    """Every code stands, in quotes, in a test file that compares all tables before and after."""
    comparing = [
        text for path in (ROOT / "tests").rglob("test_*.py") if "unchanged" in (text := path.read_text())
    ]
    missing = {
        f"{code} ({where})"
        for code, where in refusals()
        if not any(f'"{code}"' in text or f"'{code}'" in text for text in comparing)
    }
    assert not missing
