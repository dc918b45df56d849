"""From results to verdicts: pure. Absent, stale, errored and undefined are never *passed*, nor is what was waived.

A requirement holds for every attribute it is about. With `bound: conservative` the worse end of the confidence interval
must meet the limit; where only the point value does, the sample cannot decide: inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from audits.checks.contract import Message

Verdict = Literal["passed", "attested", "failed", "inconclusive", "errored", "stale", "pending", "waived"]


@dataclass(frozen=True)
class Attested:
    """A piece of external evidence that the policy accepts for an entry; `bad` of `ran` cases of a report failed."""

    digest: str
    title: str
    issuer: str
    kind: str
    signed_by: str
    ran: int
    bad: int


@dataclass(frozen=True)
class Evidence:
    """The run that answers one `checks` entry, by value. `result` is None until it has finished.

    `attested` stands in only where the check errored: what could be computed is never overruled by a paper.
    """

    result: Mapping[str, Any] | None
    finished_at: datetime | None
    attested: Attested | None = None


@dataclass(frozen=True)
class RequirementVerdict:
    """One line of the dossier: what was asked, what was found, and why that is enough or not."""

    check: str
    metric: str
    attribute: str | None
    op: Literal["min", "max"]
    limit: float
    bound: str
    value: float | None
    interval: tuple[float, float] | None
    n: int | None
    verdict: Verdict
    reason: Message

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    policy: Mapping[str, Any], evidence: Sequence[Evidence], *, not_before: datetime
) -> list[RequirementVerdict]:
    """Every requirement of the policy, in its order. `not_before`: older evidence is stale."""
    lines: list[RequirementVerdict] = []
    for entry, found in zip(policy["checks"], evidence, strict=True):
        blanket = _blanket(found, not_before)
        for requirement in entry["require"] or [{"metric": "", "min": 0}]:
            if blanket is not None:
                lines.append(_line(entry, requirement, None, *blanket))
            elif not requirement["metric"]:
                continue  # a check without requirements only has to finish
            else:
                lines += _judge_requirement(entry, requirement, found)
    return lines


# `attested` only ever comes from an entry of the policy that accepts it
SATISFYING = frozenset({"passed", "attested", "waived"})


def passed(lines: Sequence[RequirementVerdict]) -> bool:
    """Whether nothing stands in the way: a waived line does not, and is still not a passed one."""
    return all(line.verdict in SATISFYING for line in lines)


Requirement = tuple[str, str, str]  # check, metric, attribute ("" where the requirement has none)


def requirement_of(line: RequirementVerdict) -> Requirement:
    return line.check, line.metric, line.attribute or ""


def waive(
    lines: Sequence[RequirementVerdict], waivers: Mapping[Requirement, Mapping[str, Any]]
) -> list[RequirementVerdict]:
    """What is not met and waived becomes *waived*, with what was found as its cause. Passed stays passed, and what is
    still being measured stays pending. `waivers` gives the parameters of the message for each requirement waived.
    """
    return [
        replace(
            line,
            verdict="waived",
            reason=Message(
                "waived",
                {
                    **waivers[requirement_of(line)],
                    "found": line.verdict,
                    "cause": {"code": line.reason.code, "params": line.reason.params},
                },
            ),
        )
        if line.verdict not in ("passed", "attested", "pending") and requirement_of(line) in waivers
        else line
        for line in lines
    ]


def _blanket(found: Evidence, not_before: datetime) -> tuple[Verdict, Message] | None:
    """A verdict on all requirements of a check at once: it has not finished, errored, or is too old."""
    if found.result is None:
        return "pending", Message("check_pending")
    if found.result["outcome"] != "completed":
        if found.attested is not None:
            return _attested(found.attested)
        error = found.result.get("error") or {"code": "check_crashed", "params": {}}
        return "errored", Message(error["code"], error["params"])
    if found.finished_at is None or found.finished_at < not_before:
        return "stale", Message(
            "evidence_stale", {"since": found.finished_at.isoformat() if found.finished_at else ""}
        )
    return None


def _attested(found: Attested) -> tuple[Verdict, Message]:
    about: dict[str, Any] = {"issuer": found.issuer, "title": found.title, "digest": found.digest}
    if found.bad or (found.kind == "junit" and not found.ran):
        return "failed", Message("attested_not_passed", {**about, "bad": found.bad, "ran": found.ran})
    return "attested", Message("attested", about)


def _judge_requirement(
    entry: Mapping[str, Any], requirement: Mapping[str, Any], found: Evidence
) -> list[RequirementVerdict]:
    assert found.result is not None  # noqa: S101 - _blanket has looked
    wanted = requirement.get("attributes") or (entry.get("parameters") or {}).get("sensitive")
    metrics = [
        metric
        for metric in found.result["metrics"]
        if metric["metric"] == requirement["metric"]
        # a rate of one sensitive group is shown, not judged; training and evaluation data are both judged
        and (metric["group"] is None or metric["attribute"] is None)
        and _concerns(metric["attribute"], wanted)
    ]
    missing = sorted(set(wanted or []) - {metric["attribute"] for metric in metrics if metric["attribute"]})
    lines = [_judge_metric(entry, requirement, metric) for metric in metrics]
    if not metrics:
        lines.append(
            _line(
                entry,
                requirement,
                None,
                "errored",
                Message("metric_absent", {"metric": requirement["metric"]}),
            )
        )
    elif any(metric["attribute"] for metric in metrics):
        lines += [
            _line(
                entry,
                requirement,
                {"attribute": name, "value": None, "interval": None, "n": None},
                "errored",
                Message("metric_absent", {"metric": requirement["metric"]}),
            )
            for name in missing
        ]
    return lines


def _concerns(attribute: str | None, wanted: list[str] | None) -> bool:
    if attribute is None or wanted is None or attribute in wanted:  # a column may have the sign in its name
        return True
    return set(attribute.split("×")) <= set(wanted)


def _judge_metric(
    entry: Mapping[str, Any], requirement: Mapping[str, Any], metric: Mapping[str, Any]
) -> RequirementVerdict:
    value, interval = metric["value"], metric["interval"]
    op, limit = _limit(requirement)

    def meets(number: float) -> bool:
        return number >= limit if op == "min" else number <= limit

    about = {"metric": metric["metric"], "value": value, "limit": limit}
    if value is None:
        undefined = metric["undefined"]
        return _line(
            entry, requirement, metric, "inconclusive", Message(undefined["code"], undefined["params"])
        )
    if not meets(value):
        if _too_small(requirement, metric) and any(meets(end) for end in interval or ()):
            # so few rows could not have passed whatever the model does, and do not show that it misses either
            about |= {"low": interval[0], "high": interval[1], "n": metric["n"]}
            about["minimum_n"] = metric["minimum_n"]
            return _line(entry, requirement, metric, "inconclusive", Message("sample_below_minimum", about))
        return _line(entry, requirement, metric, "failed", Message(f"limit_missed_{op}", about))
    if requirement.get("bound", "conservative") == "conservative" and interval is not None:
        worse = interval[0] if op == "min" else interval[1]
        if not meets(worse):
            about |= {"low": interval[0], "high": interval[1], "minimum_n": metric.get("minimum_n")}
            return _line(entry, requirement, metric, "inconclusive", Message("sample_cannot_decide", about))
    return _line(entry, requirement, metric, "passed", Message(f"limit_met_{op}", about))


def _too_small(requirement: Mapping[str, Any], metric: Mapping[str, Any]) -> bool:
    """Whether the requirement could not be met by any sample of this size, by a bound that is conservative."""
    needed, n = metric.get("minimum_n"), metric.get("n")
    conservative = requirement.get("bound", "conservative") == "conservative"
    return conservative and needed is not None and n is not None and n < needed


def _limit(requirement: Mapping[str, Any]) -> tuple[Literal["min", "max"], float]:
    return ("min", requirement["min"]) if "min" in requirement else ("max", requirement["max"])


def _line(
    entry: Mapping[str, Any],
    requirement: Mapping[str, Any],
    metric: Mapping[str, Any] | None,
    verdict: Verdict,
    reason: Message,
) -> RequirementVerdict:
    op, limit = _limit(requirement)
    about = metric or {}
    interval = about.get("interval")
    return RequirementVerdict(
        check=entry["check"],
        metric=requirement["metric"],
        attribute=about.get("attribute") or about.get("group"),
        op=op,
        limit=limit,
        bound=requirement.get("bound", "conservative"),
        value=about.get("value"),
        interval=(interval[0], interval[1]) if interval else None,
        n=about.get("n"),
        verdict=verdict,
        reason=reason,
    )
