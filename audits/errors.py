"""What a service may answer instead of doing: refusals that are remembered, and a few that are not.

403, 409, 412 and 422 on a subject the actor may see leave a refusal event (audits.door); 400, 401, 404, 413, 415 and
429 only reach the access log. Every one has a stable code for machines and a sentence for people (audits.messages).
"""

from __future__ import annotations

from typing import Any

from audits.actors import SubjectRef
from audits.canonical import storable
from audits.checks.contract import Message

LONGEST_TEXT = 2_000
LONGEST_LIST = 100


def _bounded(value: Any) -> Any:
    """What a problem repeats of its caller's words: storable, and short enough for an answer and an event."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + "…"
    if isinstance(value, list | tuple):
        cut = [_bounded(item) for item in value[:LONGEST_LIST]]
        return [*cut, "…"] if len(value) > LONGEST_LIST else cut
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    return value


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Base of everything that becomes an `application/problem+json` answer."""

    status = 500

    def __init__(
        self, code: str, /, *, reasons: tuple[Message, ...] = (), field: str = "", **params: Any
    ) -> None:
        self.message = Message(code, _bounded(storable(params)[0]))
        self.reasons = reasons
        self.field = field
        super().__init__(f"{code} {params}" if params else code)

    @property
    def code(self) -> str:
        return self.message.code


class Refusal(Problem):
    """A refusal that is part of the trail. `subject` is what it is remembered on: set only if the actor may see it."""

    def __init__(
        self,
        code: str,
        /,
        *,
        subject: SubjectRef | None = None,
        reasons: tuple[Message, ...] = (),
        field: str = "",
        **params: Any,
    ) -> None:
        super().__init__(code, reasons=reasons, field=field, **params)
        self.subject = subject


class Forbidden(Refusal):
    status = 403


class Conflict(Refusal):
    status = 409


class PreconditionFailed(Refusal):
    """The object is no longer as the caller's If-Match says."""

    status = 412


class Unprocessable(Refusal):
    status = 422


class BadRequest(Problem):
    status = 400


class NotFound(Problem):
    """Also for what exists but may not be seen."""

    status = 404


class TooLarge(Problem):
    status = 413


class LedgerUnavailable(Problem):
    """The event could not be written, so nothing was done."""

    status = 503
