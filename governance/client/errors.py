"""What can go wrong, in three kinds: you asked wrongly, the server said no, the server did not answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reason:
    """One reason of a refusal: a stable code, its parameters, and the sentence as the server wrote it."""

    code: str
    text: str
    params: dict[str, Any] = field(default_factory=dict)


class CrivoError(Exception):
    """What happened, why, and what to do. `exit_code` is what the command ends with."""

    exit_code = 3

    def __init__(self, detail: str, *, code: str = "error") -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail}


class Usage(CrivoError):  # noqa: N818 - read as a sentence: except Refused
    """Called wrongly: nothing was sent."""

    exit_code = 2

    def __init__(self, detail: str, *, code: str = "usage") -> None:
        super().__init__(detail, code=code)


class Unreachable(CrivoError):  # noqa: N818 - read as a sentence: except Refused
    """No answer, or none that a Crivo server gives: it cannot be told here whether anything was done.

    `status` is the HTTP status where there was one.
    """

    exit_code = 3

    def __init__(self, detail: str, *, code: str = "unreachable", status: int | None = None) -> None:
        self.status = status
        super().__init__(detail, code=code)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "status": self.status}


class Refused(CrivoError):  # noqa: N818 - read as a sentence: except Refused
    """The server understood and said no (RFC 9457 problem). `reasons` are those of a closed gate."""

    exit_code = 1

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        reasons: tuple[Reason, ...] = (),
        fields: tuple[str, ...] = (),
        params: dict[str, Any] | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        self.status = status
        self.reasons = reasons
        self.fields = fields
        self.params = params or {}
        self.problem = problem or {}
        super().__init__(detail, code=code)

    def to_json(self) -> dict[str, Any]:
        return self.problem or {**super().to_json(), "status": self.status}
