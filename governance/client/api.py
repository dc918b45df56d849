"""`Crivo(url, token)`: one method per thing a pipeline or a person does, with typed answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

from governance.client import shapes
from governance.client.access import AccessCalls
from governance.client.answers import items, member, optional, unexpected
from governance.client.check_runs import CheckRuns
from governance.client.environments import Environments
from governance.client.errors import Unreachable, Usage
from governance.client.evidence import EvidenceCalls
from governance.client.explanations import Explanations
from governance.client.lifecycle import Lifecycle
from governance.client.lifecycle import segment as _segment
from governance.client.multipart import Progress, Upload, digest_of_file, no_progress
from governance.client.patience import waited
from governance.client.policies import Policies
from governance.client.privacy import PrivacyCalls
from governance.client.reading import Reading
from governance.client.reproductions import Reproductions
from governance.client.sketches import Sketches
from governance.client.trail import Trail
from governance.client.transport import TIMEOUT, UPLOAD_TIMEOUT, Answer, Call, Transport, from_environment
from governance.client.watching import Watching
from governance.client.webhooks import Webhooks

DATA_SUFFIXES = {".parquet": "parquet", ".zip": "parquet-folder"}
VERDICTS = ("approve", "reject", "request_changes")


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise Usage(f"This cannot be sent as JSON: {error}", code="not_json") from error


class Crivo(
    Policies,
    Lifecycle,
    Watching,
    Webhooks,
    AccessCalls,
    PrivacyCalls,
    Explanations,
    EvidenceCalls,
    Reproductions,
    CheckRuns,
    Environments,
    Sketches,
    Trail,
    Reading,
):
    """A server of Crivo as seen with one token. Not for use by several threads at once.

    Errors: `Refused` (the server said no, with code, sentence and reasons), `Unreachable` (no answer, or a broken
    one), `Usage` (called wrongly, nothing was sent).
    """

    def __init__(self, url: str, token: str, **options: Any) -> None:
        """`options` are those of Transport: tries, patience, sleep."""
        self.transport = Transport(url, token, **options)

    @classmethod
    def from_environment(cls) -> Self:
        return cls(*from_environment())

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How it asks

    def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer:
        """`wait`: seconds the server holds the answer back; `etag`: what is known already (then it may be 304)."""
        given = {name: value for name, value in query.items() if value is not None}
        if wait:
            given["wait"] = round(wait, 3)
        address = f"/api/v1/{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        headers = {"Accept": "application/json", **({"If-None-Match": etag} if etag else {})}
        return self.transport.send(Call("GET", address, headers, timeout=TIMEOUT + wait))

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        return self._send("POST", path, body, key=key or str(uuid4()))

    def _send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, etag: str = ""
    ) -> Answer:
        """PUT, PATCH and DELETE may be repeated without a key: they say how it shall be. `etag`: what was read."""
        content = b"" if body is None else _encoded(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": etag} if etag else {}
        return self.transport.send(Call(method, f"/api/v1/{path}", headers, content))

    def _upload(self, path: str, upload: Upload, key: str | None) -> Answer:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.transport.send(Call("POST", f"/api/v1/{path}", headers, upload, timeout=UPLOAD_TIMEOUT))

    def _pages(
        self, path: str, limit: int, seen: Callable[[Any], None] = lambda page: None, **query: Any
    ) -> Iterator[dict[str, Any]]:
        """Up to `limit` rows of a list, page by page. Of the address of the next page only the cursor is used.

        `seen` is told each page.
        """
        cursor: str | None = None
        left = limit
        while left > 0:
            data = self._get(path, cursor=cursor, page_size=min(left, 500), **query).json()
            seen(data)
            rows = items(data, "results")[:left]
            yield from rows
            left -= len(rows)
            following = optional(data, "next", str)
            found = parse_qs(urlsplit(following).query).get("cursor") if following else None
            if not found or not rows or found[0] == cursor:
                return
            cursor = found[0]

    # Who am I

    def whoami(self) -> shapes.Identity:
        return shapes.Identity.read(self._get("me").json())

    # Registering

    def register_use_case(
        self,
        name: str,
        *,
        purpose: str,
        risk_tier: str | None = None,
        questionnaire: dict[str, Any] | None = None,
        key: str | None = None,
        **details: Any,
    ) -> shapes.UseCase:
        """The same again returns what is there; another content under the name is refused (409).

        `questionnaire` is {version, answers} (see `questionnaire()`), from which the tier is computed. `details`:
        problem, intended_users, affected_people, success_metrics, expected_return, stakeholders, legal_basis,
        human_oversight, owner.
        """
        body = {
            "name": name,
            "purpose": purpose,
            "risk_tier": risk_tier,
            "questionnaire": questionnaire,
            **details,
        }
        given = {name: value for name, value in body.items() if value is not None}
        answer = self._post("use-cases", given, key=key)
        return shapes.UseCase.read(answer.json(), created=answer.status == 201)

    def register_dataset(
        self,
        name: str,
        *,
        description: str = "",
        hidden: bool = False,
        zone: str | None = None,
        smallest_cell: int | None = None,
        key: str | None = None,
    ) -> bool:
        """Whether it is new. `hidden`: an evaluation set that only those who validate may see.

        `zone`: the data zone its content never leaves; `smallest_cell`: the rows a figure about it rests on at least
        (there by default 10). Both are decided once: the same name with another zone or cell is refused (409).
        """
        more = {"hidden": hidden or None, "zone": zone, "smallest_cell": smallest_cell}
        given = {field: value for field, value in more.items() if value is not None}
        body = {"name": name, "description": description, **given}
        return self._post("datasets", body, key=key).status == 201

    def register_dataset_version(
        self,
        name: str,
        path: str | Path,
        *,
        sensitive: dict[str, dict[str, Any]] | None = None,
        format: str | None = None,
        dialect: dict[str, str] | None = None,
        digest: str | None = None,
        columns: Sequence[str | dict[str, str]] | None = None,
        progress: Progress = no_progress,
        key: str | None = None,
    ) -> shapes.DatasetVersion:
        """Upload a file as a version of the dataset `name`, which must be there. Same content, same version.

        `sensitive` is {column: {"bins": [edges]}}; `format` is csv, parquet or parquet-folder (a zip), by default what
        the file name says; `dialect` of a CSV is {"separator": ";", "decimal": ",", "encoding": "latin-1"}.
        Instead of a path, a URI (file, http, https, s3) with the `digest` of what is there: the server fetches it.
        Of a dataset in a data zone it fetches nothing: then `columns` are declared, as names or {"name", "type"}.
        """
        suffix = Path(str(path)).suffix.lower()
        metadata = {
            "format": format or DATA_SUFFIXES.get(suffix, "csv"),
            "sensitive": sensitive or {},
            **({"dialect": dialect} if dialect else {}),
            **({"columns": list(columns)} if columns is not None else {}),
        }
        answer = self._content(
            f"datasets/{_segment(name)}/versions", "file", path, digest, metadata, progress, key
        )
        return shapes.DatasetVersion.read(answer.json(), created=answer.status == 201)

    def register_model(self, name: str, *, description: str = "", key: str | None = None) -> bool:
        """Whether it is new."""
        return self._post("models", {"name": name, "description": description}, key=key).status == 201

    def register_model_version(
        self,
        name: str,
        path: str | Path,
        metadata: dict[str, Any],
        *,
        digest: str | None = None,
        progress: Progress = no_progress,
        key: str | None = None,
    ) -> shapes.ModelVersion:
        """Upload a model file with what it declares (docs/metadata.md). Same file and metadata, same version.

        Instead of a path, a URI with the `digest` of what is there: the server fetches it.
        """
        _encoded(metadata)
        path_of = f"models/{_segment(name)}/versions"
        answer = self._content(path_of, "artifact", path, digest, metadata, progress, key)
        return shapes.ModelVersion.read(answer.json(), created=answer.status == 201)

    def _content(
        self,
        address: str,
        part: str,
        source: str | Path,
        digest: str | None,
        metadata: dict[str, Any],
        progress: Progress,
        key: str | None,
    ) -> Answer:
        if "://" in str(source):
            if digest is None:
                raise Usage("A URI needs the digest of what is there: sha256:….", code="digest_missing")
            body = {"uri": str(source), "digest": digest, "metadata": metadata}
            return self._post(address, body, key=key)
        path = Path(source)
        own = digest_of_file(path)
        if digest not in (None, own):
            raise Usage(f"{path} has the digest {own}, not {digest}.", code="digest_differs")
        return self._upload(address, Upload.of(part, path, {**metadata, "digest": own}, progress), key)

    # Promotion

    def promote(self, name: str, n: int, *, to: str, reason: str, key: str | None = None) -> shapes.Promotion:
        """Ask for the next environment; its checks are queued at once."""
        path = f"models/{_segment(name)}/versions/{n}/promotions"
        return shapes.Promotion.read(self._post(path, {"to": to, "reason": reason}, key=key).json())

    def promotion(self, promotion_id: str, *, wait: float = 0) -> shapes.Promotion:
        """`wait`: up to so many seconds (30 at most) the server holds the answer back until something changes."""
        answer = self._get(f"promotions/{_segment(promotion_id)}", wait=wait)
        return shapes.Promotion.read(answer.json())

    def promotions(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[shapes.Promotion]:
        """The newest first."""
        rows = self._pages("promotions", limit, model=model, state=state)
        return [shapes.Promotion.read(row) for row in rows]

    def wait(
        self,
        promotion_id: str,
        *,
        seconds: float,
        until: Callable[[shapes.Promotion], bool] = lambda promotion: promotion.settled,
        seen: Callable[[shapes.Promotion], None] = lambda promotion: None,
    ) -> shapes.Promotion:
        """Look until `until` holds or the time is over; the last look. `seen` is called with every look."""
        path, etag, last = f"promotions/{_segment(promotion_id)}", "", None

        def look(patience: float) -> shapes.Promotion:
            nonlocal etag, last
            # What changed between two looks must not be waited for: the ETag says what we have seen.
            answer = self._get(path, wait=patience, etag=etag if patience else "")
            if answer.status != 304 or last is None:
                last, etag = shapes.Promotion.read(answer.json()), answer.headers.get("etag", "")
                seen(last)
            return last

        return waited(look, until, seconds)

    def decide(
        self,
        promotion_id: str,
        verdict: str,
        *,
        reason: str,
        dossier_digest: str,
        conditions: Sequence[dict[str, str]] = (),
        key: str | None = None,
    ) -> shapes.Decision:
        """approve, reject or request_changes, on the dossier with this digest: 409 if it is another one by now.

        `conditions` of an approval are {text, due}: missed, the gate shuts.
        """
        if verdict not in VERDICTS:
            raise Usage(f"A decision is one of: {', '.join(VERDICTS)}.", code="verdict_unknown")
        body: dict[str, Any] = {"verdict": verdict, "reason": reason, "dossier_digest": dossier_digest}
        if conditions:
            body["conditions"] = list(conditions)
        path = f"promotions/{_segment(promotion_id)}/decisions"
        return shapes.Decision.read(self._post(path, body, key=key).json())

    def attestation(self, promotion_id: str) -> bytes:
        """The signed statement: one line of an *.intoto.jsonl file (DSSE envelope of an in-toto statement)."""
        return self._get(f"promotions/{_segment(promotion_id)}/attestation").body

    def receipt(self, promotion_id: str) -> bytes:
        """The proof that the grant is in the log (C2SP tlog-proof)."""
        return self._get(f"promotions/{_segment(promotion_id)}/receipt").body

    def gate(
        self, digest: str, *, environment: str, model: str | None = None, at: str | None = None
    ) -> shapes.GateAnswer:
        """May the artefact with this digest run there, now? Or with `at` (RFC 3339): what was answered then?"""
        data = self._get("gate", digest=digest, environment=environment, model=model, at=at).json()
        answer = shapes.GateAnswer.read(data)
        if (optional(data, "at", str) is None) != (at is None):
            raise unexpected("it is about another time than was asked for")
        if (answer.digest, answer.environment) != (digest, environment):
            raise unexpected("it is about another artefact or environment than was asked for")
        return answer

    def gate_all(self, questions: list[dict[str, str]], *, at: str | None = None) -> list[shapes.GateAnswer]:
        """Up to 500 questions {digest, environment, model?} at once; the answers in their order."""
        body = {"questions": questions, **({"at": at} if at else {})}
        answers = [
            shapes.GateAnswer.read(row) for row in items(self._post("gate/questions", body).json(), "answers")
        ]
        asked = [(question["digest"], question["environment"]) for question in questions]
        if [(answer.digest, answer.environment) for answer in answers] != asked:
            raise unexpected("the answers are not those to what was asked for")
        return answers

    def attestations(self, model: str) -> bytes:
        """<model>.intoto.jsonl: every attestation of the model's promotions, one DSSE envelope a line."""
        return self._get(f"models/{_segment(model)}/attestations").body

    def revocations(self) -> bytes:
        """The signed list of attestations that no longer hold: one DSSE envelope, one line."""
        return self._get("attestations/revoked").body

    # What runs already

    def import_running(
        self, rows: list[dict[str, str]], *, deadline: str | None = None, key: str | None = None
    ) -> list[dict[str, Any]]:
        """Let them go on as grandfathered: {model, digest, environment, version?, uri?, since?}, at most 500.

        What became of each: {…, status: imported|existing|placed|replaced, deadline}.
        """
        body = {"rows": rows, **({"deadline": deadline} if deadline else {})}
        report = items(self._post("imports", body, key=key).json(), "report")
        for row in report:
            for name in ("model", "digest", "environment", "status"):
                member(row, name, str)
            row.setdefault("deadline", None)
        return report

    def reconcile(
        self, running: list[dict[str, str]], *, environments: list[str] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Compare what runs ({digest, environment, model?, since?}) with what is approved; kept as evidence."""
        body = {"running": running, "environments": environments or []}
        data = self._post("reconciliations", body, key=key).json()
        for row in items(data, "findings"):
            for name in ("kind", "environment", "model", "digest"):
                member(row, name, str)
            optional(row, "reason", dict)
        member(data, "differences", int)
        member(data, "counts", dict)
        return dict(data)

    # Lineage

    def record_lineage(self, event: dict[str, Any], *, key: str | None = None) -> shapes.LineageEvent:
        """One OpenLineage event (spec 2-0-2)."""
        answer = self._post("lineage", event, key=key)
        return shapes.LineageEvent.read(answer.json(), created=answer.status == 201)

    def lineage(self, node: str, *, direction: str = "both", depth: int = 20) -> shapes.Graph:
        """What `node` (kind:namespace:name) came from, and what came of it."""
        return shapes.Graph.read(self._get("lineage", nodeId=node, direction=direction, depth=depth).json())


__all__ = ["Crivo", "Unreachable"]
