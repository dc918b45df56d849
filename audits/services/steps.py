"""A step of a life cycle, or the refusal that says why there is none."""

from __future__ import annotations

from audits.actors import SubjectRef
from audits.errors import Conflict
from audits.states import IllegalTransition, S, Table, step


def stepped(code: str, subject: SubjectRef, table: Table[S], current: S | str, wanted: S) -> S:
    """`wanted`, if the table has a way there; else 409 `code` with both states."""
    try:
        return step(table, current, wanted)
    except IllegalTransition as error:
        raise Conflict(code, subject=subject, state=error.current, wanted=error.wanted) from error
