"""What is asked of a use case, and the risk tier its answers compute. Questions are data (questionnaire.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from audits.canonical import digest_of
from audits.errors import Unprocessable
from governance.models.policies import RiskTier

HERE = Path(__file__).parent
ORDER = [RiskTier.MINIMAL, RiskTier.LIMITED, RiskTier.HIGH, RiskTier.PROHIBITED]
TEXTS = ("problem", "intended_users", "affected_people", "expected_return", "human_oversight")
LISTS = ("success_metrics", "stakeholders", "legal_basis")
FIELDS = (*TEXTS, *LISTS)
# What a use case of the tier high cannot leave open, once its tier was computed: it asks for care, so it says whose.
NEEDED_WHEN_HIGH = ("affected_people", "human_oversight", "legal_basis")
YES = ("yes", "unsure")
ANSWERS = ("yes", "no", "unsure")


@dataclass(frozen=True)
class Question:
    """`knock_out` is the least tier of a yes; else `weight` is added."""

    id: str
    basis: str
    text: dict[str, str]
    knock_out: str = ""
    weight: int = 0


@dataclass(frozen=True)
class Questionnaire:
    version: int
    digest: str
    thresholds: dict[str, int]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Assessment:
    """`because` names the questions that made the tier what it is."""

    tier: str
    score: int
    because: tuple[str, ...]


@cache
def questionnaire() -> Questionnaire:
    data = yaml.safe_load((HERE / "questionnaire.yaml").read_text(encoding="utf-8"))
    questions = tuple(Question(**question) for question in data["questions"])
    return Questionnaire(data["version"], digest_of(data), data["thresholds"], questions)


@cache
def legal_bases() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((HERE / "legal_bases.yaml").read_text(encoding="utf-8"))
    return found


def rank(tier: str) -> int:
    return ORDER.index(RiskTier(tier))


def checked_answers(given: Mapping[str, Any]) -> dict[str, Any]:
    """{version, digest, answers: {id: yes|no|unsure}} as it is kept; true and false stand for yes and no. 422 else."""
    asked = questionnaire()
    if given.get("version") != asked.version:
        raise Unprocessable(
            "questionnaire_outdated",
            field="questionnaire.version",
            given=str(given.get("version"))[:20],
            current=asked.version,
        )
    answers = given.get("answers")
    answers = dict(answers) if isinstance(answers, Mapping) else {}
    known = [question.id for question in asked.questions]
    field = "questionnaire.answers"
    if unknown := sorted(set(answers) - set(known)):
        raise Unprocessable("questionnaire_unknown", field=field, unknown=unknown)
    if missing := [name for name in known if answers.get(name) in (None, "")]:
        raise Unprocessable("questionnaire_incomplete", field=field, missing=missing)
    for name, answer in answers.items():
        answers[name] = {True: "yes", False: "no"}.get(answer, answer) if isinstance(answer, bool) else answer
        if answers[name] not in ANSWERS:
            raise Unprocessable("answer_invalid", field=f"{field}.{name}", question=name)
    return {
        "version": asked.version,
        "digest": asked.digest,
        "answers": {name: answers[name] for name in known},
    }


def assess(answers: Mapping[str, str]) -> Assessment:
    """The tier of complete answers: the highest knock-out, or what the sum of weights reaches."""
    asked = questionnaire()
    said = [question for question in asked.questions if answers[question.id] in YES]
    score = sum(question.weight for question in said)
    weighed = next(
        (tier for tier in (RiskTier.HIGH, RiskTier.LIMITED) if score >= asked.thresholds[tier]),
        RiskTier.MINIMAL,
    )
    tier = max([weighed, *(RiskTier(row.knock_out) for row in said if row.knock_out)], key=rank)
    if tier == RiskTier.MINIMAL:
        return Assessment(tier, score, ())
    knocked = tuple(row.id for row in said if row.knock_out == tier)
    return Assessment(tier, score, knocked or tuple(row.id for row in said if row.weight))


def checked_intake(given: Mapping[str, Any]) -> dict[str, Any]:
    """The texts and lists of a use case that were given, legal bases by known codes. 422 else."""
    intake = {name: given[name] for name in FIELDS if name in given}
    if unknown := sorted(set(intake.get("legal_basis", [])) - set(legal_bases())):
        raise Unprocessable(
            "legal_basis_unknown", field="legal_basis", unknown=unknown, known=list(legal_bases())
        )
    return intake


def require_complete(tier: str, intake: Mapping[str, Any]) -> None:
    if tier != RiskTier.HIGH:
        return
    missing = [name for name in NEEDED_WHEN_HIGH if not intake.get(name)]
    if missing:
        raise Unprocessable("intake_incomplete", field=missing[0], tier=tier, missing=missing)
