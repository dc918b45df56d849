"""What the client can do after a grant: stop, go back, retire, name, record, compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from governance.client.answers import Shape, items, member
from governance.client.errors import Reason, Usage

if TYPE_CHECKING:
    from governance.client.transport import Answer

MODES = ("live", "challenger", "canary", "shadow", "ab", "blue_green")


def segment(text: str) -> str:
    """One segment of a path. Names of ours need no escape; anything else must not change the address."""
    if text in ("", ".", ".."):
        raise Usage(f"{text!r} is not a name.", code="name_malformed")
    return quote(text, safe="")


@dataclass(frozen=True)
class Placement(Shape):
    """Where a version stands; `allowed` is what the gate says of it there, now."""

    id: str
    model: str
    n: int
    environment: str
    state: str
    allowed: bool
    reasons: tuple[Reason, ...]
    effective_at: str | None


@dataclass(frozen=True)
class Standing(Shape):
    """A version with all its placements; `archived` once it is retired."""

    model: str
    n: int
    state: str
    archived: bool
    placements: tuple[Placement, ...]

    def placement_in(self, environment: str) -> Placement:
        """The newest one there that is not withdrawn. Usage if there is none."""
        found = [
            row for row in self.placements if row.environment == environment and row.state != "withdrawn"
        ]
        if not found:
            raise Usage(f"{self.model}@{self.n} does not stand in {environment}.", code="no_placement")
        return found[-1]


@dataclass(frozen=True)
class Alias(Shape):
    alias: str
    model: str
    n: int
    state: str
    artifact_digest: str


@dataclass(frozen=True)
class Environment(Shape):
    name: str
    position: int
    exclusive: bool


@dataclass(frozen=True)
class Deployment(Shape):
    """`allowed` is of when it was recorded; `not_allowed`: it still runs and may not, as of the answer."""

    id: str
    model: str
    n: int
    environment: str
    mode: str
    share: float | None
    location: str
    since: str
    until: str | None
    allowed: bool
    basis: Reason
    not_allowed: bool


class Lifecycle:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...
        def _send(
            self, method: str, path: str, body: Any = None, *, key: str | None = None, etag: str = ""
        ) -> Answer: ...
        def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]: ...

    def standing(self, name: str, n: int) -> Standing:
        """Where a version stands, and what the gate says of it there."""
        return Standing.read(self._get(f"models/{segment(name)}/versions/{n}/placements").json())

    def suspend_version(self, name: str, n: int, *, reason: str, key: str | None = None) -> Standing:
        """Stop it everywhere, at once."""
        path = f"models/{segment(name)}/versions/{n}/suspension"
        return Standing.read(self._post(path, {"reason": reason}, key=key).json())

    def reinstate_version(self, name: str, n: int, *, reason: str, key: str | None = None) -> Standing:
        """By somebody else than who suspended it. Counts once it is in a signed checkpoint."""
        path = f"models/{segment(name)}/versions/{n}/reinstatement"
        return Standing.read(self._post(path, {"reason": reason}, key=key).json())

    def suspend_placement(self, placement_id: str, *, reason: str, key: str | None = None) -> Placement:
        return self._placement(placement_id, "suspension", reason, key)

    def reinstate_placement(self, placement_id: str, *, reason: str, key: str | None = None) -> Placement:
        return self._placement(placement_id, "reinstatement", reason, key)

    def withdraw_placement(self, placement_id: str, *, reason: str, key: str | None = None) -> Placement:
        return self._placement(placement_id, "withdrawal", reason, key)

    def _placement(self, placement_id: str, what: str, reason: str, key: str | None) -> Placement:
        path = f"placements/{segment(placement_id)}/{what}"
        return Placement.read(self._post(path, {"reason": reason}, key=key).json())

    def roll_back(
        self, name: str, *, environment: str, reason: str, to: int | None = None, key: str | None = None
    ) -> Placement:
        """Back to the version that was live before, or to version `to`. Counts once its `allowed` is true."""
        body = {"environment": environment, "reason": reason, **({"to": to} if to is not None else {})}
        return Placement.read(self._post(f"models/{segment(name)}/rollbacks", body, key=key).json())

    def retire(
        self, name: str, n: int, *, reason: str, successor: str = "", key: str | None = None
    ) -> dict[str, Any]:
        """The end of a version. `successor` is the name@n to use instead."""
        path = f"models/{segment(name)}/versions/{n}/retirement"
        data = self._post(path, {"reason": reason, "successor": successor}, key=key).json()
        member(data, "state", str)
        return dict(data)

    def aliases(self, name: str, *, limit: int = 500) -> list[Alias]:
        return [Alias.read(row) for row in self._pages(f"models/{segment(name)}/aliases", limit)]

    def alias(self, name: str, alias: str) -> Alias:
        """The version `alias` stands for, now."""
        return Alias.read(self._get(f"models/{segment(name)}/aliases/{segment(alias)}").json())

    def set_alias(self, name: str, alias: str, n: int) -> Alias:
        path = f"models/{segment(name)}/aliases/{segment(alias)}"
        return Alias.read(self._send("PUT", path, {"n": n}).json())

    def remove_alias(self, name: str, alias: str) -> None:
        self._send("DELETE", f"models/{segment(name)}/aliases/{segment(alias)}")

    def environments(self, *, order: str = "first") -> list[Environment]:
        """In the order of the way to production; `order="last"`: the other way round."""
        answer = self._get("environments", order=order)
        return [Environment.read(row) for row in items(answer.json(), "results")]

    def add_environment(
        self, name: str, *, exclusive: bool = False, position: int | None = None, key: str | None = None
    ) -> Environment:
        place = {} if position is None else {"position": position}
        body = {"name": name, "exclusive": exclusive, **place}
        return Environment.read(self._post("environments", body, key=key).json())

    def change_environment(
        self, name: str, *, exclusive: bool | None = None, position: int | None = None
    ) -> Environment:
        given = {"exclusive": exclusive, "position": position}
        body = {what: value for what, value in given.items() if value is not None}
        return Environment.read(self._send("PATCH", f"environments/{segment(name)}", body).json())

    def record_deployment(
        self,
        name: str,
        n: int,
        *,
        environment: str,
        mode: str,
        share: float | None = None,
        location: str = "",
        since: str | None = None,
        key: str | None = None,
    ) -> Deployment:
        """Say what runs where. Recorded also where it may not, and flagged. `since` is an ISO 8601 time."""
        given = {"share": share, "since": since}
        body = {"environment": environment, "mode": mode, "location": location} | {
            what: value for what, value in given.items() if value is not None
        }
        path = f"models/{segment(name)}/versions/{n}/deployments"
        return Deployment.read(self._post(path, body, key=key).json())

    def deployments(
        self, *, environment: str | None = None, running: bool | None = None, limit: int = 500
    ) -> list[Deployment]:
        asked = None if running is None else str(running).lower()
        rows = self._pages("deployments", limit, environment=environment, running=asked)
        return [Deployment.read(row) for row in rows]

    def end_deployment(
        self, deployment_id: str, *, until: str | None = None, key: str | None = None
    ) -> Deployment:
        body = {} if until is None else {"until": until}
        return Deployment.read(self._post(f"deployments/{segment(deployment_id)}/end", body, key=key).json())

    def comparison(self, name: str, n: int, *, environment: str = "production") -> dict[str, Any]:
        """Beside the version that is live there (docs/lifecycle.md has the members)."""
        path = f"models/{segment(name)}/versions/{n}/comparison"
        data = self._get(path, environment=environment).json()
        member(data, "this", str)
        return dict(data)
