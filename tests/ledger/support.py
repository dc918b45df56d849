"""A small log with the fixed cast, and what the attacks on its exports need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audits.ledger.body import (
    Actor,
    EventFields,
    Evidence,
    Policy,
    Reason,
    Salts,
    Subject,
    build,
    entry_digest,
    text_commitment,
)
from audits.ledger.canonical import canonical
from audits.ledger.note import Checkpoint, SignerKey, sign_checkpoint
from audits.ledger.tiles import Disclosure, write_export
from audits.ledger.tree import leaf_hash, root_from_leaves
from audits.verifier import Report, verify_export

ORIGIN = "crivo.example/log"
SIGNER = SignerKey(ORIGIN, sha256(b"checkpoint key of the tests").digest())
VKEY = str(SIGNER.vkey)
WORKSPACES = ("default", "outra")
ACTORS = (Actor("person", "ana"), Actor("person", "bia"), Actor("token", "pipeline"))
VERBS = ("model.registered", "check.finished", "promotion.granted", "promotion.refused")
STATED = {"query": "verb:promotion", "time_zone": "America/Sao_Paulo"}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def vectors(name: str) -> Any:
    """A file of published test vectors, kept beside the checkout."""
    path = Path(__file__).parents[2] / ".." / "shared" / "vectors" / name
    if not path.exists():
        pytest.skip(f"the published vectors {name} are not beside this checkout")
    return json.loads(path.read_text())


def salt(*parts: object) -> bytes:
    return sha256(repr(parts).encode()).digest()[:16]


@dataclass
class Log:
    """Events of `subjects` subjects in turn; subject k lives in workspace k mod 2."""

    envelopes: list[bytes]
    disclosures: list[Disclosure]
    fields: list[EventFields]

    @classmethod
    def make(cls, size: int, subjects: int = 3) -> Log:
        log = cls([], [], [])
        previous: dict[int, tuple[int, str]] = {}
        for i in range(size):
            who = i % subjects
            seq, before = previous.get(who, (0, ""))
            workspace = WORKSPACES[who % 2]
            texts = {"reason": f"motivo nº {i}: «está bom»"} if i % 2 else {}
            fields = EventFields(
                event_id=UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + i),
                workspace=workspace,
                actor=ACTORS[i % len(ACTORS)],
                verb=VERBS[i % len(VERBS)],
                subject=Subject("model_version", f"s{who}", f"churn/{who}", "sha256:" + "ab" * 32),
                subject_seq=seq + 1,
                previous=before or None,
                at=START + timedelta(minutes=i),
                outcome="refused" if VERBS[i % len(VERBS)].endswith("refused") else "done",
                request_id=f'req-{i}"\\' if i == 1 else f"req-{i}",
                correlation_id=None if i % 3 else f"cor-{i}",
                reason=Reason("within_policy", {"disparity": 0.12, "n": i}) if i % 2 else None,
                commitments={
                    name: text_commitment(salt("text", i, name), text) for name, text in texts.items()
                },
                policy=Policy("fairness", 3, "sha256:" + "cd" * 32),
                evidence=(Evidence("check_run", "sha256:" + "ef" * 32),),
                before="sha256:" + "00" * 32,
                after="sha256:" + "01" * 32,
                detail={"environment": "production"},
            )
            salts = Salts(
                subject=salt("subject", who),
                workspace=salt("workspace", workspace),
                head=salt("head", i),
                rest=salt("rest", i),
            )
            body = build(fields, salts)
            previous[who] = (seq + 1, entry_digest(body.envelope))
            log.envelopes.append(body.envelope)
            log.fields.append(fields)
            log.disclosures.append(
                Disclosure(
                    head=body.head,
                    head_salt=salts.head,
                    subject_salt=salts.subject,
                    workspace_salt=salts.workspace,
                    rest=body.rest,
                    rest_salt=salts.rest,
                    texts={name: (text, salt("text", i, name)) for name, text in texts.items()},
                )
            )
        return log

    def __iter__(self) -> Iterator[tuple[bytes, Disclosure]]:
        return zip(self.envelopes, self.disclosures, strict=True)

    def checkpoint(self, size: int | None = None, signer: SignerKey = SIGNER) -> bytes:
        size = len(self.envelopes) if size is None else size
        root = root_from_leaves([leaf_hash(item) for item in self.envelopes[:size]])
        return sign_checkpoint(Checkpoint(signer.vkey.name, size, root), signer)

    def export(
        self,
        folder: Path,
        scope: Mapping[str, Any] | None = None,
        filter: Mapping[str, Any] | None = None,
        size: int | None = None,
    ) -> Path:
        write_export(
            folder,
            checkpoint=self.checkpoint(size),
            vkey=VKEY,
            events=self,
            scope={"kind": "log"} if scope is None else scope,
            filter={} if filter is None else filter,
            stated=STATED,
        )
        return folder


def codes(report: Report) -> list[str]:
    return [problem.code for problem in report.problems]


def check(folder: Path, previous: bytes | None = None) -> Report:
    return verify_export(folder, VKEY, previous)


def rewrite_lines(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Replace events.jsonl by `change(list of its lines)`."""
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def change_json(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "export.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_bytes(canonical(value) + b"\n")


def workspace_scope(index: int) -> dict[str, str]:
    name = WORKSPACES[index]
    return {"kind": "workspace", "id": name, "salt": salt("workspace", name).hex()}


def subject_scope(*numbers: int) -> dict[str, Any]:
    return {
        "kind": "subjects",
        "subjects": [
            {"id": f"s{k}", "kind": "model_version", "salt": salt("subject", k).hex()} for k in numbers
        ],
    }
