"""What a policy asks more, or less, than another version of it: pure, in the words of the field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from typing import Any, Literal

from audits.canonical import digest_of
from audits.checks.contract import Message
from governance.policy import quorum
from governance.policy.schema import duration

Direction = Literal["tighter", "looser", "other"]
KNOWN = {
    "policy",
    "checks",
    "approvals",
    "separation_of_duties",
    "evidence_max_age",
    "artifact_formats",
    "confinement_level",
    "acknowledge",
    "environment_lock",
}
LOCKS = (None, "kept", "exact")
BOUNDS = {"point": 0, "conservative": 1}


@dataclass(frozen=True)
class Change:
    """One difference. `direction` is other where more or less cannot be said."""

    direction: Direction
    message: Message

    def to_json(self) -> dict[str, Any]:
        return {"direction": self.direction, **asdict(self.message)}


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """Every difference between two validated bodies, in the order of a policy file. `before` None: a new policy."""
    if before is None:
        return [Change("other", Message("policy_new"))]
    return [
        *_checks(before, after),
        *_approvals(before, after),
        *_sets(before, after),
        *_rest(before, after),
    ]


def text_diff(before: str, after: str, labels: tuple[str, str]) -> str:
    """A unified diff of the two files as written."""
    lines = unified_diff(before.splitlines(), after.splitlines(), *labels, lineterm="")
    return "\n".join(lines)


def _keyed(entries: Sequence[Any], key: Any) -> dict[Any, Any]:
    """By key and by its how-manieth: a check may stand there twice, with different parameters."""
    seen: Counter[Any] = Counter()
    found = {}
    for entry in entries:
        name = key(entry)
        found[name, seen[name]] = entry
        seen[name] += 1
    return found


def _checks(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old = _keyed(before["checks"], lambda entry: entry["check"])
    new = _keyed(after["checks"], lambda entry: entry["check"])
    for key in [*old, *(key for key in new if key not in old)]:
        check = key[0]
        if key not in new:
            yield Change("looser", Message("policy_check_removed", {"check": check}))
        elif key not in old:
            yield Change("tighter", Message("policy_check_added", {"check": check}))
        else:
            if digest_of(old[key].get("parameters", {})) != digest_of(new[key].get("parameters", {})):
                yield Change("other", Message("policy_parameters_changed", {"check": check}))
            papers = old[key].get("accept_attested"), new[key].get("accept_attested")
            if digest_of({"accept": papers[0]}) != digest_of({"accept": papers[1]}):
                direction: Direction = (
                    "looser" if papers[0] is None else "tighter" if papers[1] is None else "other"
                )
                yield _field(f"{check}.accept_attested", papers, direction)
            yield from _requirements(check, old[key]["require"], new[key]["require"])


def _about(requirement: Mapping[str, Any]) -> tuple[Any, ...]:
    op = "min" if "min" in requirement else "max"
    return requirement["metric"], tuple(sorted(requirement.get("attributes") or [])), op


def _requirements(check: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    old, new = _keyed(before, _about), _keyed(after, _about)
    for key in [*old, *(key for key in new if key not in old)]:
        (metric, attributes, op), _ = key
        where = {"check": check, "metric": metric, "attribute": ", ".join(attributes)}
        if key not in new:
            yield Change("looser", Message("policy_limit_removed", {**where, "limit": old[key][op]}))
        elif key not in old:
            yield Change("tighter", Message("policy_limit_added", {**where, "op": op, "limit": new[key][op]}))
        else:
            yield from _limit(where, op, old[key], new[key])


def _limit(
    where: dict[str, Any], op: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    if old[op] != new[op]:
        tighter = new[op] > old[op] if op == "min" else new[op] < old[op]
        about = {**where, "before": old[op], "after": new[op]}
        yield (
            Change("tighter", Message("policy_limit_tightened", about))
            if tighter
            else Change("looser", Message("policy_limit_loosened", about))
        )
    bounds = old.get("bound", "conservative"), new.get("bound", "conservative")
    if bounds[0] != bounds[1]:
        direction: Direction = "tighter" if BOUNDS[bounds[1]] > BOUNDS[bounds[0]] else "looser"
        yield Change(
            direction, Message("policy_bound_changed", {**where, "before": bounds[0], "after": bounds[1]})
        )


def _approvals(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = quorum.needed(before), quorum.needed(after)
    for role in dict.fromkeys([*old, *new]):
        if old[role] != new[role]:
            direction: Direction = "tighter" if new[role] > old[role] else "looser"
            about = {"role": role, "before": old[role], "after": new[role]}
            yield Change(direction, Message("policy_approvals_changed", about))


def _sets(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Lists that are sets. One name more asks for more, but for the file formats that are accepted."""
    for field, more in (("separation_of_duties", True), ("acknowledge", True), ("artifact_formats", False)):
        old, new = set(before.get(field) or []), set(after.get(field) or [])
        for names, added in ((new - old, True), (old - new, False)):
            if names:
                code = "policy_names_added" if added else "policy_names_removed"
                yield Change(
                    "tighter" if added == more else "looser",
                    Message(code, {"field": field, "names": sorted(names)}),
                )


def _rest(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    ages = before["evidence_max_age"], after["evidence_max_age"]
    if duration(ages[0]) != duration(ages[1]):
        shorter = duration(ages[1]) < duration(ages[0])
        yield _field("evidence_max_age", ages, "tighter" if shorter else "looser")
    levels = before["confinement_level"], after["confinement_level"]
    if levels[0] != levels[1]:
        yield _field("confinement_level", levels, "tighter" if levels[1] > levels[0] else "looser")
    locks = before.get("environment_lock"), after.get("environment_lock")
    if locks[0] != locks[1]:
        stricter = LOCKS.index(locks[1]) > LOCKS.index(locks[0])
        yield _field("environment_lock", locks, "tighter" if stricter else "looser")
    for field in sorted({*before, *after} - KNOWN):
        values = before.get(field), after.get(field)
        if (values[0] is None) != (values[1] is None) or digest_of(values[0]) != digest_of(values[1]):
            yield _field(field, values, "other")


def _field(field: str, values: tuple[Any, Any], direction: Direction) -> Change:
    shown = ["–" if value is None else _plain(value) for value in values]
    return Change(
        direction, Message("policy_field_changed", {"field": field, "before": shown[0], "after": shown[1]})
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(value[key])}" for key in sorted(value))
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
