"""Attested evidence: kept as it came, counted and verified by us, and worth only what the policy says."""

from __future__ import annotations

import base64
import io
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, transaction

from audits.errors import Unprocessable
from audits.models import Event
from governance.dossier import assess
from governance.junit import summarised
from governance.models import ExternalEvidence
from governance.policy import schema
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = b"""<testsuites><testsuite tests="999">
<testcase name="a"/><testcase name="b"><skipped/></testcase>
</testsuite></testsuites>"""
BAD = b'<testsuite><testcase name="a"/><testcase name="b"><failure/><error/></testcase></testsuite>'
PATH = "models/progression/versions/1/evidence"
ABOUT = {"check": "bias.group_disparity", "kind": "junit", "title": "Vendor's suite", "issuer": "Vendor SA"}
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)


def pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return text.decode()


def fingerprint(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    plain = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return f"sha256:{sha256(plain).hexdigest()}"


def signed(content: bytes, key: Any = KEY, **changes: Any) -> dict[str, Any]:
    mark = (
        key.sign(content)
        if isinstance(key, Ed25519PrivateKey)
        else key.sign(content, ec.ECDSA(hashes.SHA256()))
    )
    return {**ABOUT, "public_key": pem(key), "signature": base64.b64encode(mark).decode(), **changes}


def accepting(accepted: str) -> str:
    return study.HOMOLOGATION.replace(
        "    parameters: {sensitive: [sex], min_group: 30}\n",
        f"    parameters: {{sensitive: [sex], min_group: 30}}\n    accept_attested: {accepted}\n",
    )


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    found = study.study(cast)
    for environment in ("development", "test"):
        study.ask(cast, found, environment)
        study.sequence()
    return found


class TestAttaching:
    def test_a_report_is_counted_and_shown_as_attested(self, cast: Cast, version: ModelVersion) -> None:
        answer = Caller(cast, "ana").upload(PATH, "file", GOOD, ABOUT)
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert body["summary"] == {"tests": 2, "failures": 0, "errors": 0, "skipped": 1}
        assert (body["attested"], body["signed_by"], body["version"]) == (True, "", "progression@1")
        assert body["digest"] == f"sha256:{sha256(GOOD).hexdigest()}"
        event = Event.objects.get(subject_id=body["id"])
        assert event.verb == "evidence.attached"
        again = Caller(cast, "ana").upload(PATH, "file", GOOD, ABOUT)
        assert (again.status_code, again.json()["id"]) == (200, body["id"])
        listed = Caller(cast, "clara").get(PATH).json()["results"]
        assert [row["id"] for row in listed] == [body["id"]]

    @pytest.mark.parametrize("key", [KEY, ec.generate_private_key(ec.SECP256R1())])
    def test_a_signature_is_verified_and_its_key_kept(
        self, cast: Cast, version: ModelVersion, key: Any
    ) -> None:
        content = b"%PDF-1.7 a validation report"
        about = signed(content, key, kind="document")
        answer = Caller(cast, "bruno").upload(PATH, "file", content, about)
        assert answer.status_code == 201, answer.content
        assert answer.json()["signed_by"] == fingerprint(key)

    @pytest.mark.parametrize(
        ("content", "about", "code"),
        [
            (GOOD, {**ABOUT, "check": "no.such"}, "evidence_check_unknown"),
            (b"text", {**ABOUT, "kind": "document"}, "evidence_unsigned"),
            (GOOD, {**ABOUT, "public_key": pem(KEY)}, "evidence_unsigned"),
            (GOOD + b" ", signed(GOOD), "evidence_signature_invalid"),
            (GOOD, signed(GOOD, signature="!"), "evidence_signature_invalid"),
            (GOOD, signed(GOOD, public_key="no key"), "evidence_signature_invalid"),
            (GOOD, signed(GOOD, ec.generate_private_key(ec.SECP384R1())), "evidence_signature_invalid"),
            (b"not xml", ABOUT, "junit_unreadable"),
            (b"<html/>", ABOUT, "junit_unreadable"),
            (b"<testsuite/>", ABOUT, "junit_unreadable"),
        ],
    )
    def test_what_cannot_be_relied_on_is_refused(
        self, cast: Cast, version: ModelVersion, content: bytes, about: dict[str, Any], code: str
    ) -> None:
        ana = Caller(cast, "ana")
        with unchanged(refusals=1):
            problem(ana.upload(PATH, "file", content, about), 422, code)

    def test_who_may_not_attach_leaves_a_refusal(self, cast: Cast, version: ModelVersion) -> None:
        clara = Caller(cast, "clara")
        with unchanged(refusals=1):
            problem(clara.upload(PATH, "file", GOOD, ABOUT), 403, "not_permitted")

    def test_a_row_can_be_neither_changed_nor_removed(self, cast: Cast, version: ModelVersion) -> None:
        Caller(cast, "ana").upload(PATH, "file", GOOD, ABOUT)
        row = ExternalEvidence.objects.get()
        with pytest.raises(DatabaseError), transaction.atomic():
            ExternalEvidence.objects.filter(id=row.id).update(title="other")
        with pytest.raises(DatabaseError), transaction.atomic():
            row.delete()


class TestReports:
    def test_a_case_counts_once_by_its_worst(self) -> None:
        assert summarised(io.BytesIO(BAD)) == {"tests": 2, "failures": 0, "errors": 1, "skipped": 0}

    @pytest.mark.parametrize(
        "content",
        [
            b'<!DOCTYPE t [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>',
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE testsuite><testsuite><testcase/></testsuite>'.encode(
                "utf-16"
            ),
            b"<testsuite>" * 60 + b"<testcase/>" + b"</testsuite>" * 60,
            b"<testsuite><testcase/>",
            b"",
        ],
    )
    def test_hostile_files_are_refused(self, content: bytes) -> None:
        with pytest.raises(Unprocessable) as caught:
            summarised(io.BytesIO(content))
        assert caught.value.message.code == "junit_unreadable"


class TestWorth:
    def judged(self, cast: Cast, version: ModelVersion, result: Any = None) -> tuple[str, str, str]:
        promotion = study.finish_checks(
            study.ask(cast, version, "homologation"),
            result or study.errored_result("model_format_unsupported"),
        )
        from django.utils import timezone

        line = assess(promotion, timezone.now()).lines[0]
        return promotion.state, line.verdict, line.reason.code

    def attach(self, cast: Cast, content: bytes = GOOD, about: dict[str, Any] | None = None) -> None:
        answer = Caller(cast, "ana").upload(PATH, "file", content, about or ABOUT)
        assert answer.status_code == 201, answer.content

    def test_a_policy_that_does_not_say_so_does_not_accept_it(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        self.attach(cast)
        assert self.judged(cast, version) == ("refused", "errored", "model_format_unsupported")

    def test_where_the_policy_says_so_it_stands_in_for_what_could_not_be_computed(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        study.put_in_force(cast, accepting("{kinds: [junit]}"))
        self.attach(cast)
        assert self.judged(cast, version) == ("awaiting_approval", "attested", "attested")

    def test_nothing_attached_stays_errored(self, cast: Cast, version: ModelVersion) -> None:
        study.put_in_force(cast, accepting("{kinds: [junit]}"))
        assert self.judged(cast, version)[1] == "errored"

    def test_a_computed_result_is_never_overruled(self, cast: Cast, version: ModelVersion) -> None:
        study.put_in_force(cast, accepting("{kinds: [junit]}"))
        self.attach(cast)
        assert self.judged(cast, version, study.ratio_result(0.5)) == (
            "refused",
            "failed",
            "limit_missed_min",
        )

    @pytest.mark.parametrize(
        ("content", "check", "verdict"),
        [
            (BAD, "bias.group_disparity", "failed"),
            (b"<testsuite><testcase><skipped/></testcase></testsuite>", "bias.group_disparity", "failed"),
            (GOOD, "data.quality", "errored"),
        ],
    )
    def test_failed_skipped_or_about_something_else(
        self, cast: Cast, version: ModelVersion, content: bytes, check: str, verdict: str
    ) -> None:
        study.put_in_force(cast, accepting("{kinds: [junit]}"))
        self.attach(cast, content, {**ABOUT, "check": check})
        state, found, _ = self.judged(cast, version)
        assert (state, found) == ("refused", verdict)

    def test_only_the_named_keys_count(self, cast: Cast, version: ModelVersion) -> None:
        study.put_in_force(cast, accepting(f"{{kinds: [document], signed_by: ['{fingerprint(KEY)}']}}"))
        stranger = Ed25519PrivateKey.generate()
        self.attach(cast, b"paper", signed(b"paper", stranger, kind="document"))
        assert self.judged(cast, version)[1] == "errored"
        self.attach(cast, b"paper", signed(b"paper", kind="document"))
        assert self.judged(cast, version)[:2] == ("awaiting_approval", "attested")

    def test_another_piece_makes_another_dossier(self, cast: Cast, version: ModelVersion) -> None:
        from django.utils import timezone

        study.put_in_force(cast, accepting("{kinds: [junit]}"))
        self.attach(cast)
        promotion = study.finish_checks(
            study.ask(cast, version, "homologation"), study.errored_result("model_format_unsupported")
        )
        before = assess(promotion, timezone.now()).digest
        self.attach(cast, GOOD + b"\n")
        assert assess(promotion, timezone.now()).digest != before


@pytest.mark.parametrize(
    "accepted", ["{}", "{kinds: []}", "{kinds: [rumour]}", "{kinds: [document]}", "true"]
)
def test_a_policy_names_what_it_accepts(accepted: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        schema.parse(accepting(accepted))
    assert caught.value.message.code == "policy_invalid"
