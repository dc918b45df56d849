"""Findings, waivers, conditions, re-reviews, broken glass and alarms: what the SDK does about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from governance.client.answers import Shape
from governance.client.errors import Usage

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class Watched(Shape):
    """One finding, waiver, condition, review, broken glass or alarm; everything else it says is in `raw`."""

    id: str
    state: str


class Watching:
    """Mixed into Crivo. Times are RFC 3339 text with a time zone."""

    if TYPE_CHECKING:

        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...

        def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]: ...

    def _watched(self, path: str, body: dict[str, Any], key: str | None) -> Watched:
        return Watched.read(self._post(path, body, key=key).json())

    def _list(self, path: str, limit: int, **query: Any) -> list[Watched]:
        return [Watched.read(row) for row in self._pages(path, limit, **query)]

    # Findings

    def open_finding(
        self,
        name: str,
        n: int,
        *,
        severity: str,
        owner: str,
        due: str,
        text: str,
        evidence_digest: str = "",
        key: str | None = None,
    ) -> Watched:
        body = {"severity": severity, "owner": owner, "due": due, "text": text}
        if evidence_digest:
            body["evidence_digest"] = evidence_digest
        return self._watched(f"models/{_name(name)}/versions/{n}/findings", body, key)

    def findings(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[Watched]:
        return self._list("findings", limit, model=model, state=state)

    def answer_finding(self, finding_id: str, *, text: str, key: str | None = None) -> Watched:
        return self._watched(f"findings/{_name(finding_id)}/answer", {"text": text}, key)

    def verify_finding(
        self, finding_id: str, *, text: str, holds: bool = True, key: str | None = None
    ) -> Watched:
        body = {"text": text, "holds": holds}
        return self._watched(f"findings/{_name(finding_id)}/verification", body, key)

    def close_finding(
        self, finding_id: str, *, text: str, holds: bool = True, key: str | None = None
    ) -> Watched:
        return self._watched(f"findings/{_name(finding_id)}/closing", {"text": text, "holds": holds}, key)

    # Waivers

    def request_waiver(
        self,
        name: str,
        n: int,
        *,
        environment: str,
        check: str,
        metric: str = "",
        attribute: str = "",
        reason: str,
        compensating_control: str,
        expires_at: str,
        key: str | None = None,
    ) -> Watched:
        body = {
            "environment": environment,
            "check": check,
            "metric": metric,
            "attribute": attribute,
            "reason": reason,
            "compensating_control": compensating_control,
            "expires_at": expires_at,
        }
        return self._watched(f"models/{_name(name)}/versions/{n}/waivers", body, key)

    def waivers(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[Watched]:
        return self._list("waivers", limit, model=model, state=state)

    def approve_waiver(self, waiver_id: str, *, reason: str, key: str | None = None) -> Watched:
        """Effective once its event is in a signed checkpoint."""
        return self._watched(f"waivers/{_name(waiver_id)}/approval", {"reason": reason}, key)

    def refuse_waiver(self, waiver_id: str, *, reason: str, key: str | None = None) -> Watched:
        return self._watched(f"waivers/{_name(waiver_id)}/refusal", {"reason": reason}, key)

    def revoke_waiver(self, waiver_id: str, *, reason: str, key: str | None = None) -> Watched:
        return self._watched(f"waivers/{_name(waiver_id)}/revocation", {"reason": reason}, key)

    # Conditions and re-reviews

    def conditions(self, promotion_id: str, *, limit: int = 50) -> list[Watched]:
        return self._list(f"promotions/{_name(promotion_id)}/conditions", limit)

    def report_condition(self, condition_id: str, *, text: str, key: str | None = None) -> Watched:
        return self._watched(f"conditions/{_name(condition_id)}/report", {"text": text}, key)

    def verify_condition(
        self, condition_id: str, *, text: str, holds: bool = True, key: str | None = None
    ) -> Watched:
        body = {"text": text, "holds": holds}
        return self._watched(f"conditions/{_name(condition_id)}/verification", body, key)

    def reviews(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[Watched]:
        return self._list("reviews", limit, model=model, state=state)

    def complete_review(self, review_id: str, *, reason: str, key: str | None = None) -> Watched:
        return self._watched(f"reviews/{_name(review_id)}/completion", {"reason": reason}, key)

    # Broken glass

    def break_glass(
        self, name: str, n: int, *, environment: str, reason: str, hours: int, key: str | None = None
    ) -> Watched:
        """Let a version through although refused, for some hours. An alarm is raised."""
        body = {"environment": environment, "reason": reason, "hours": hours}
        return self._watched(f"models/{_name(name)}/versions/{n}/break-glass", body, key)

    def broken_glass(self, *, state: str | None = None, limit: int = 50) -> list[Watched]:
        return self._list("break-glass", limit, state=state)

    def end_glass(self, glass_id: str, *, reason: str, key: str | None = None) -> Watched:
        return self._watched(f"break-glass/{_name(glass_id)}/end", {"reason": reason}, key)

    def alarms(self, *, state: str | None = None, limit: int = 50) -> list[Watched]:
        return self._list("alarms", limit, state=state)

    def sign_off_alarm(self, alarm_id: str, *, reason: str, key: str | None = None) -> Watched:
        return self._watched(f"alarms/{_name(alarm_id)}/sign-off", {"reason": reason}, key)


def _name(text: str) -> str:
    """One segment of a path: nothing in it changes the address."""
    if text in ("", ".", ".."):
        raise Usage(f"{text!r} is not a name.", code="name_malformed")
    return quote(text, safe="")
