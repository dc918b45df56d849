"""The verifier on exports of a part: what matches is all there, what does not is there as heads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audits.ledger.tiles import event_line, write_export
from audits.verifier import UnreadableError
from tests.ledger.support import (
    VKEY,
    change_json,
    check,
    codes,
    rewrite_lines,
    subject_scope,
    workspace_scope,
)
from tests.ledger.test_verifier import LOG
from tests.ledger.test_verifier import export as export

FILTERS: list[dict[str, Any]] = [
    {"verb": ["promotion.granted"]},
    {"verb": ["promotion.granted", "promotion.refused"], "outcome": ["done"]},
    {"actor": [{"id": "bia", "kind": "person"}]},
    {"actor": [{"kind": "token"}, {"id": "ana"}]},
    {"subject": [{"id": "s1"}], "verb": ["model.registered"]},
    {"from": "2026-03-01T12:03:00.000000Z", "to": "2026-03-01T12:07:00.000000Z"},
    {"request_id": ["req-4", 'req-1"\\']},
    {"correlation_id": ["cor-3"]},
    {"sample": {"per_million": 300_000, "seed": "auditor 1"}},
    {"verb": []},
]
# By `printf 'auditor 1:4' | sha256sum`: the first 16 digits, modulo 1,000,000, are below 300,000.
SAMPLED = (4, 10)
SCOPES: list[dict[str, Any]] = [
    {"kind": "log"},
    workspace_scope(0),
    workspace_scope(1),
    subject_scope(1),
    subject_scope(0, 2),
]


def by_hand(fields: Any, index: int, chosen: dict[str, Any]) -> bool:
    """The filter's meaning, written from its documentation and not from its code."""
    plain = {
        "verb": fields.verb,
        "outcome": fields.outcome,
        "request_id": fields.request_id,
        "correlation_id": fields.correlation_id,
    }
    at = fields.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        all(plain[name] in chosen.get(name, [plain[name]]) for name in plain)
        and all(
            any(
                all(getattr(getattr(fields, name), key) == value for key, value in wanted.items())
                for wanted in chosen[name]
            )
            for name in ("actor", "subject")
            if name in chosen
        )
        and chosen.get("from", "0") <= at < chosen.get("to", "9")
        and ("sample" not in chosen or index in SAMPLED)
    )


@pytest.mark.parametrize("scope", SCOPES, ids=json.dumps)
@pytest.mark.parametrize("chosen", FILTERS, ids=json.dumps)
def test_a_filtered_export_verifies_and_a_dropped_match_is_caught(
    tmp_path: Path, scope: dict[str, Any], chosen: dict[str, Any]
) -> None:
    folder = LOG.export(tmp_path / "x", scope, chosen)
    report = check(folder)
    assert (report.problems, report.completeness) == ([], "filtered")
    inside = {
        i
        for i, item in enumerate(LOG.fields)
        if scope["kind"] == "log"
        or item.workspace == scope.get("id")
        or item.subject.id in {wanted["id"] for wanted in scope.get("subjects", [])}
    }
    matching = {i for i in inside if by_hand(LOG.fields[i], i, chosen)}
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert {line["index"] for line in lines} == inside
    assert {line["index"] for line in lines if "rest" in line} == matching
    for index in matching:
        forged = tmp_path / f"dropped {index}"
        shutil.copytree(folder, forged)

        def without(items: list[bytes], index: int = index) -> list[bytes]:
            return [item for item in items if json.loads(item)["index"] != index]

        rewrite_lines(forged, without)

        def count(value: dict[str, Any], index: int = index) -> None:
            verb = LOG.fields[index].verb
            value["heads"] -= 1
            value["matches"] -= 1
            value["counts"][verb] -= 1
            value["counts"] = {name: number for name, number in value["counts"].items() if number}

        change_json(forged, count)
        report = check(forged)
        assert [(item.code, item.index) for item in report.problems] == [("head_missing", index)]


def test_a_match_reduced_to_its_head_is_caught(tmp_path: Path) -> None:
    folder = LOG.export(tmp_path / "x", None, {"verb": ["promotion.refused"]})
    rest = event_line(7, LOG.disclosures[7], with_rest=False)
    rewrite_lines(folder, lambda lines: [*lines[:7], rest, *lines[8:]])
    report = check(folder)
    assert [(item.code, item.index) for item in report.problems] == [
        ("match_missing", 7),
        ("manifest_differs", None),
        ("manifest_differs", None),
    ]
    whole = event_line(8, LOG.disclosures[8], with_rest=True)
    rewrite_lines(folder, lambda lines: [*lines[:8], whole, *lines[9:]])
    assert ("match_extra", 8) in [(item.code, item.index) for item in check(folder).problems]


def test_scope_cannot_be_narrowed_by_its_salt_or_name(tmp_path: Path) -> None:
    folder = LOG.export(tmp_path / "x", workspace_scope(1), {})
    (folder / "events.jsonl").write_bytes(b"")

    def hide(value: dict[str, Any]) -> None:
        value["scope"]["salt"] = "00" * 16
        value |= {"heads": 0, "matches": 0, "counts": {}}

    change_json(folder, hide)
    assert codes(check(folder)) == ["scope_unknown"]
    outside = event_line(0, LOG.disclosures[0], with_rest=True)
    folder = LOG.export(tmp_path / "y", workspace_scope(1), {})
    rewrite_lines(folder, lambda lines: [outside, *lines])
    assert codes(check(folder))[0] == "out_of_scope"


def test_an_export_that_cannot_prove_its_completeness_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write_export(
        folder,
        checkpoint=LOG.checkpoint(),
        vkey=VKEY,
        events=LOG,
        scope=None,
        filter=None,
        stated={"query": "reason contains «bom»"},
        choose=lambda index, disclosure: ("nothing", "head", "rest")[index % 3],
    )
    report = check(folder)
    assert (report.verified, report.completeness, report.heads, report.matches) == (True, "none", 8, 4)
    assert report.warnings[0].startswith("COMPLETENESS: NONE")
    rewrite_lines(folder, lambda lines: lines[1:])
    assert set(codes(check(folder))) == {"manifest_differs"}


def test_claims_of_the_manifest_are_checked(export: Path) -> None:
    original = (export / "export.json").read_bytes()
    claims: list[Callable[[dict[str, Any]], Any]] = [
        lambda v: v.update(heads=13),
        lambda v: v.update(matches=11),
        lambda v: v["counts"].update({"promotion.granted": 4}),
        lambda v: v["counts"].pop("promotion.granted"),
        lambda v: v["log"].update(origin="crivo.example/lag"),
        lambda v: v["log"].update(size=11),
        lambda v: v["log"].update(size="12"),
        lambda v: v["log"].update(root="A" * 43 + "="),
    ]
    for claim in claims:
        (export / "export.json").write_bytes(original)
        change_json(export, claim)
        assert codes(check(export)) == ["manifest_differs"]
    unreadable: list[Callable[[dict[str, Any]], Any]] = [
        lambda v: v.update(v=2),
        lambda v: v.update(v=True),
        lambda v: v.update(heads=True),
        lambda v: v.update(matches=-1),
        lambda v: v.update(counts=[]),
        lambda v: v.update(completeness="filtered"),
        lambda v: v.update(completeness="none"),
        lambda v: v.update(completeness=["full"]),
        lambda v: v.update(filter={"verb": ["x"]}),
        lambda v: v.update(filter={"verb": "x"}),
        lambda v: v.update(filter={"verb": [1]}),
        lambda v: v.update(filter={"actor": [{}]}),
        lambda v: v.update(filter={"actor": [{"id": 1}]}),
        lambda v: v.update(filter={"actor": [{"name": "x"}]}),
        lambda v: v.update(filter={"from": "2026-03-01"}),
        lambda v: v.update(filter={"sample": {"per_million": 2_000_000, "seed": ""}}),
        lambda v: v.update(filter={"sample": {"per_million": True, "seed": ""}}),
        lambda v: v.update(filter=None),
        lambda v: v.update(scope={}),
        lambda v: v.update(scope={"kind": "workspace", "id": "x", "salt": "zz"}),
        lambda v: v.update(scope={"kind": "subjects", "subjects": [{"id": "x"}]}),
        lambda v: v.update(scope=[]),
        lambda v: v.update(log=[]),
        lambda v: v.update(stated="x"),
        lambda v: v.update(extra=1),
        lambda v: v.pop("stated"),
    ]
    for claim in unreadable:
        (export / "export.json").write_bytes(original)
        change_json(export, claim)
        with pytest.raises(UnreadableError, match=r"^export\.json: "):
            check(export)
