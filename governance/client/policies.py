"""The part of `Crivo` that is about policies and sign-off by people outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from governance.client import shapes
from governance.client.answers import items, member, optional, reason_of
from governance.client.errors import Usage
from governance.client.transport import Answer


class Policies:
    def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer:
        raise NotImplementedError

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        raise NotImplementedError

    def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def plan_policies(self, texts: Mapping[str, str]) -> shapes.PolicyPlan:
        """What proposing these texts (path → YAML) would change. Nothing is written."""
        files = [{"path": path, "text": text} for path, text in texts.items()]
        return shapes.PolicyPlan.read(self._post("policies/plan", {"files": files}).json())

    def propose_policy(
        self, text: str, *, reason: str, commit: str = "", key: str | None = None
    ) -> shapes.PolicyChange:
        """`text` is a policy file (YAML). It is applied once somebody else approves it."""
        body = {"text": text, "reason": reason, "commit": commit}
        answer = self._post("policies", body, key=key)
        return shapes.PolicyChange.read(answer.json(), created=answer.status == 201)

    def policy_changes(self, *, state: str | None = None, limit: int = 50) -> list[shapes.PolicyChange]:
        """The newest first."""
        return [shapes.PolicyChange.read(row) for row in self._pages("policies/changes", limit, state=state)]

    def policy_change(self, change_id: str) -> shapes.PolicyChange:
        return shapes.PolicyChange.read(self._get(f"policies/changes/{_segment(change_id)}").json())

    def decide_policy_change(
        self, change_id: str, verdict: str, *, reason: str, digest: str, key: str | None = None
    ) -> shapes.PolicyChange:
        """approve or reject the text with this digest: 409 if the change is about another one."""
        if verdict not in ("approve", "reject"):
            raise Usage("A change is approved or rejected.", code="verdict_unknown")
        body = {"verdict": verdict, "reason": reason, "digest": digest}
        path = f"policies/changes/{_segment(change_id)}/decisions"
        return shapes.PolicyChange.read(self._post(path, body, key=key).json())

    def withdraw_policy_change(
        self, change_id: str, *, reason: str, key: str | None = None
    ) -> shapes.PolicyChange:
        path = f"policies/changes/{_segment(change_id)}/withdrawal"
        return shapes.PolicyChange.read(self._post(path, {"reason": reason}, key=key).json())

    def policy_diff(self, name: str, before: int, after: int) -> dict[str, Any]:
        """{before, after, changes: [{direction, code, params, text}], text: a unified diff}."""
        data = self._get(f"policies/{_segment(name)}/versions/{before}/diff/{after}").json()
        shapes.changes_of(data)
        member(data, "text", str)
        return dict(data)

    def test_policy(
        self,
        model: str,
        n: int,
        *,
        text: str | None = None,
        policy: str | None = None,
        policy_version: int | None = None,
    ) -> dict[str, Any]:
        """What a policy, by its text or by name and version, would say of a model version. Nothing is written."""
        body: dict[str, Any] = {"model": model, "n": n}
        given = {"text": text, "policy": policy, "version": policy_version}
        body |= {name: value for name, value in given.items() if value is not None}
        data = self._post("policies/dry-run", body).json()
        for name in ("applies", "format_accepted", "passed"):
            member(data, name, bool)
        for line in items(data, "requirements"):
            for name in ("check", "metric", "verdict"):
                member(line, name, str)
            optional(line, "attribute", str)
            reason_of(member(line, "reason", dict))
        return dict(data)

    def acknowledge_policy(self, name: str, n: int, *, key: str | None = None) -> dict[str, Any]:
        """Say that you know this version of the policy. Who has not is in `missing`."""
        path = f"policies/{_segment(name)}/versions/{n}/acknowledgements"
        return dict(self._post(path, {}, key=key).json())

    def invite_signoff(
        self, promotion_id: str, *, role: str, name: str, email: str, hours: int = 168, key: str | None = None
    ) -> dict[str, Any]:
        """{id, url, expires_at, …}: the link works once, and stands in this answer only."""
        body = {"role": role, "name": name, "email": email, "hours": hours}
        return dict(self._post(f"promotions/{_segment(promotion_id)}/signoffs", body, key=key).json())


def _segment(text: str) -> str:
    if text in ("", ".", ".."):
        raise Usage(f"{text!r} is not a name.", code="name_malformed")
    return quote(text, safe="")
