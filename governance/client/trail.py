"""The calls of `Crivo` about the trail: events, what was so at a time, exports, and the public keys and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from governance.client import shapes
from governance.client.answers import items, reasons_of, unexpected
from governance.client.errors import Reason
from governance.client.lifecycle import segment as _segment
from governance.client.multipart import Progress, no_progress
from governance.client.patience import waited
from governance.client.transport import Answer, Call, Transport


class Trail:
    """Mixed into Crivo, which knows how to ask."""

    transport: Transport

    def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer:
        raise NotImplementedError

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        raise NotImplementedError

    def _pages(
        self, path: str, limit: int, seen: Callable[[Any], None] = lambda page: None, **query: Any
    ) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def events(
        self, *, limit: int = 50, pruned: list[Reason] | None = None, **filters: Any
    ) -> list[dict[str, Any]]:
        """The newest events of the trail first. What is not found because it was pruned is appended to `pruned`."""
        told: list[Reason] = [] if pruned is None else pruned

        def seen(page: Any) -> None:
            told[:] = reasons_of(page, "pruned") if isinstance(page, dict) and "pruned" in page else ()

        return list(self._pages("audit/events", limit, seen, **filters))

    def state(self, subject: str, *, at: str | None = None) -> dict[str, Any]:
        """What was so at `at` (a time with its zone, or a date; default now). `subject`: `name@n`, or `kind:id`."""
        found: dict[str, Any] = self._get("audit/state", subject=subject, at=at).json()
        return found

    def start_export(
        self,
        filter: dict[str, Any] | None = None,
        *,
        form: str = "bundle",
        language: str | None = None,
        time_zone: str | None = None,
        key: str | None = None,
    ) -> shapes.Export:
        """Order an export; without a filter, of everything. `form`: bundle (verifiable), csv or jsonl (a zip)."""
        given = {"form": form if form != "bundle" else None, "language": language, "time_zone": time_zone}
        body = {"filter": filter or {}, **{name: value for name, value in given.items() if value is not None}}
        return shapes.Export.read(self._post("audit/exports", body, key=key).json())

    def export(self, export_id: str, *, wait: float = 0) -> shapes.Export:
        answer = self._get(f"audit/exports/{_segment(export_id)}", wait=wait)
        return shapes.Export.read(answer.json())

    def wait_for_export(
        self, export_id: str, *, seconds: float, progress: Progress = no_progress
    ) -> shapes.Export:
        """Until it is done or failed, or the time is over. `progress` is told (entries done, entries of the log)."""

        def look(patience: float) -> shapes.Export:
            export = self.export(export_id, wait=patience)
            if export.log_size:
                progress(export.done_entries, export.log_size)
            return export

        return waited(look, lambda export: export.finished, seconds)

    def download_export(self, export_id: str, sink: BinaryIO) -> None:
        """The export as a tar archive (a zip for csv and jsonl), into `sink` (seekable)."""
        call = Call("GET", f"/api/v1/audit/exports/{_segment(export_id)}/content", {}, sink=sink)
        self.transport.send(call)

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint (C2SP tlog-checkpoint). Keep one: it shows later that the log only grew."""
        return self._get("audit/checkpoint").body

    def vkey(self) -> str:
        """The key that checkpoints verify against (C2SP signed-note). Keep it where the server cannot change it."""
        text = self._get("audit/vkey").body
        try:
            return text.decode().strip()
        except UnicodeDecodeError as error:
            raise unexpected("the key is no text") from error

    def jwks(self) -> dict[str, Any]:
        """The public keys of attestations (RFC 7517)."""
        data = self.transport.send(Call("GET", "/.well-known/jwks.json", {})).json()
        items(data, "keys")
        return dict(data)
