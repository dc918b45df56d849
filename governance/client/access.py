"""The calls of `Crivo` about use cases and about who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from governance.client import shapes
from governance.client.answers import items, member
from governance.client.lifecycle import segment as _segment
from governance.client.transport import Answer


class AccessCalls:
    """Mixed into Crivo, which knows how to ask."""

    def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer:
        raise NotImplementedError

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        raise NotImplementedError

    def _send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, etag: str = ""
    ) -> Answer:
        raise NotImplementedError

    def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    # Use cases

    def use_case(self, name: str) -> shapes.UseCase:
        answer = self._get(f"use-cases/{_segment(name)}")
        return shapes.UseCase.read(answer.json(), etag=answer.headers.get("etag", ""))

    def edit_use_case(
        self, name: str, *, etag: str, key: str | None = None, **changes: Any
    ) -> shapes.UseCase:
        """Change what was read under `etag`; refused (409) if somebody changed it meanwhile."""
        answer = self._send("PATCH", f"use-cases/{_segment(name)}", changes, key=key, etag=etag)
        return shapes.UseCase.read(answer.json(), etag=answer.headers.get("etag", ""))

    def set_tier(
        self, name: str, risk_tier: str, *, reason: str, etag: str, key: str | None = None
    ) -> shapes.UseCase:
        """Another tier than the computed one. Downward only by somebody else than the owner."""
        body = {"risk_tier": risk_tier, "reason": reason}
        path = f"use-cases/{_segment(name)}/tier"
        answer = self._send("POST", path, body, key=key or str(uuid4()), etag=etag)
        return shapes.UseCase.read(answer.json(), etag=answer.headers.get("etag", ""))

    def questionnaire(self) -> dict[str, Any]:
        """The questions a use case answers: {version, digest, thresholds, questions, legal_bases}."""
        data = self._get("use-case-questionnaire").json()
        items(data, "questions")
        return dict(data)

    # Who may do what

    def bindings(self, *, limit: int = 200, **filters: Any) -> list[dict[str, Any]]:
        """Who holds which role; filters: role, person, state (in_force, lapsed, revoked), due_within (days)."""
        return list(self._pages("access/bindings", limit, **filters))

    def bind(self, role: str, *, key: str | None = None, **given: Any) -> dict[str, Any]:
        """Give a role to one of person, group and token; with scope and on, for one model or dataset."""
        return self._object(self._post("access/bindings", {"role": role, **given}, key=key))

    def revoke_binding(self, binding_id: str, *, key: str | None = None) -> dict[str, Any]:
        return self._object(self._post(f"access/bindings/{_segment(binding_id)}/revocation", {}, key=key))

    def recertify(self, binding_id: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        """Say that a role of somebody else is still needed."""
        path = f"access/bindings/{_segment(binding_id)}/recertification"
        return self._object(self._post(path, {"reason": reason}, key=key))

    def groups(self, *, limit: int = 200) -> list[dict[str, Any]]:
        return list(self._pages("access/groups", limit))

    def create_group(self, name: str, *, description: str = "", key: str | None = None) -> dict[str, Any]:
        return self._object(self._post("access/groups", {"name": name, "description": description}, key=key))

    def add_member(self, group: str, person: str, *, key: str | None = None) -> dict[str, Any]:
        path = f"access/groups/{_segment(group)}/members"
        return self._object(self._post(path, {"person": person}, key=key))

    def remove_member(self, group: str, person: str, *, key: str | None = None) -> dict[str, Any]:
        path = f"access/groups/{_segment(group)}/removals"
        return self._object(self._post(path, {"person": person}, key=key))

    def people(self, *, active: bool | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """Whoever has, or had, a role, a group or a token in the workspace."""
        wanted = None if active is None else str(active).lower()
        return list(self._pages("access/people", limit, active=wanted))

    def create_person(self, username: str, *, key: str | None = None, **about: str) -> dict[str, Any]:
        """An account without a password and without a role; `about`: first_name, last_name, email."""
        return self._object(self._post("access/people", {"username": username, **about}, key=key))

    def deactivate_person(self, username: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        """End an account, at once."""
        path = f"access/people/{_segment(username)}/deactivation"
        return self._object(self._post(path, {"reason": reason}, key=key))

    def reactivate_person(self, username: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        path = f"access/people/{_segment(username)}/reactivation"
        return self._object(self._post(path, {"reason": reason}, key=key))

    def tokens(self, *, limit: int = 200) -> list[dict[str, Any]]:
        return list(self._pages("access/tokens", limit))

    def issue_token(
        self, name: str, *, kind: str, scopes: list[str], days: int = 90, person: str | None = None
    ) -> dict[str, Any]:
        """The answer's `token` is the text: it is shown this once."""
        body = {"name": name, "kind": kind, "scopes": scopes, "days": days}
        return self._object(self._post("access/tokens", body | ({"person": person} if person else {})))

    def revoke_token(self, token_id: str, *, key: str | None = None) -> dict[str, Any]:
        return self._object(self._post(f"access/tokens/{_segment(token_id)}/revocation", {}, key=key))

    def who_could(
        self, action: str, *, at: str | None = None, model: str | None = None, dataset: str | None = None
    ) -> dict[str, Any]:
        """People, tokens, superusers and database roles with the means for an action at a time."""
        data = self._get("access/who-could", action=action, at=at, model=model, dataset=dataset).json()
        for name in ("people", "tokens", "database", "limits"):
            items(data, name)
        return dict(data)

    def _object(self, answer: Answer) -> dict[str, Any]:
        data = answer.json()
        member(data, "id", str)
        return dict(data)
