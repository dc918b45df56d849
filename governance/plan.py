"""What proposing a set of policy files would do. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from audits.actors import Actor
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.errors import Unprocessable
from governance import selectors
from governance.models import Environment
from governance.policy import schema
from governance.policy.diff import Change, compare, text_diff


@dataclass(frozen=True)
class PlannedFile:
    path: str
    name: str
    status: Literal["new", "changed", "unchanged", "invalid"]
    current: int | None = None
    changes: list[Change] = field(default_factory=list)
    text: str = ""
    problem: Message | None = None


@dataclass(frozen=True)
class Plan:
    """`elsewhere`: policies that are current here and in none of the files. Nothing removes them."""

    files: list[PlannedFile]
    elsewhere: list[str]


def plan(actor: Actor, files: Sequence[Mapping[str, Any]]) -> Plan:
    """Each file {path, text} against what is current."""
    current = {row.name: row for row in selectors.policies(actor).filter(current=True)}
    environments = set(
        Environment.objects.filter(workspace_id=actor.workspace).values_list("name", flat=True)
    )
    seen: set[str] = set()
    planned = []
    for file in files:
        try:
            body = schema.parse(file["text"])
            environment = body["applies_to"]["environment"]
            if environment not in environments:
                raise Unprocessable("environment_unknown", name=environment)
            if body["policy"] in seen:
                raise Unprocessable("policy_twice", policy=body["policy"])
        except Unprocessable as refusal:
            planned.append(PlannedFile(file["path"], "", "invalid", problem=refusal.message))
            continue
        name = body["policy"]
        seen.add(name)
        row = current.get(name)
        if row is not None and row.digest == digest_of(body):
            planned.append(PlannedFile(file["path"], name, "unchanged", row.n))
            continue
        planned.append(
            PlannedFile(
                file["path"],
                name,
                "changed" if row else "new",
                row.n if row else None,
                compare(row.body if row else None, body),
                text_diff(row.text if row else "", file["text"], (row.label if row else "–", file["path"])),
            )
        )
    return Plan(planned, sorted(set(current) - seen))
