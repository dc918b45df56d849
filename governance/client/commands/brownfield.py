"""What runs already: bring it in with a deadline, and compare it with what is approved."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from governance.client.commands.common import OK, REFUSED, Context, text_of
from governance.client.commands.gating import DIGEST, time_named, written
from governance.client.console import plain
from governance.client.errors import Usage

BATCH = 100  # rows of one request: the progress line moves, and a repeat loses little
COLUMNS = ("model", "version", "digest", "environment", "uri", "since")
DIFFERENCES = ("not_approved", "wrong_digest", "ran_before_approval", "absent")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    importing = commands.add_parser(
        "import", parents=[common], help="let running models go on as grandfathered, until a deadline"
    )
    importing.add_argument("file", metavar="CSV", help=f"with a header; columns: {', '.join(COLUMNS)}")
    importing.add_argument("--deadline", metavar="DATE", help="default: as long as policy allows (90 days)")
    importing.add_argument("--report", metavar="FILE", help="what became of each row, as .csv or .json")
    importing.set_defaults(command=import_command)

    reconcile = commands.add_parser(
        "reconcile", parents=[common], help="compare what runs with what is approved; 1 if they differ"
    )
    reconcile.add_argument("file", metavar="CSV", help="with a header; digest and environment are needed")
    reconcile.add_argument(
        "--environment", action="append", default=[], metavar="ENV",
        help="the list speaks for it, even where nothing runs; default: those it names",
    )  # fmt: skip
    reconcile.add_argument("--report", metavar="FILE", help="every finding, as .csv or .json")
    reconcile.set_defaults(command=reconcile_command)


def rows_of(path: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file. Usage names the line of the first that cannot be meant."""
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True, restkey="")
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if missing := [name for name in needed if name not in names]:
            raise Usage(f"{path}: the header lacks {', '.join(missing)}.", code="csv_malformed")
        if unknown := [name for name in names if name not in COLUMNS]:
            raise Usage(
                f"{path}: unknown column {unknown[0]!r}. Known: {', '.join(COLUMNS)}.", code="csv_malformed"
            )
        found = []
        for row in reader:
            if "" in row or None in row.values():
                raise Usage(
                    f"{path}, line {reader.line_num}: not as many cells as the header has.",
                    code="csv_malformed",
                )
            clean = {name: value.strip() for name, value in row.items()}
            if not DIGEST.fullmatch(clean["digest"]):
                raise Usage(
                    f"{path}, line {reader.line_num}: the digest is not sha256: and 64 hexadecimal digits.",
                    code="digest_malformed",
                )
            found.append({name: value for name, value in clean.items() if value})
    except csv.Error as error:
        raise Usage(f"{path}, line {reader.line_num}: {error}", code="csv_malformed") from error
    for number, row in enumerate(found, start=2):
        if lacking := [name for name in needed if name not in row]:
            raise Usage(f"{path}, row {number}: {lacking[0]} is empty.", code="csv_malformed")
        if "since" in row:
            row["since"] = str(time_named(row["since"]))
    return found


def report_to(path: str | None, rows: list[dict[str, Any]]) -> None:
    """As CSV or JSON, by the name of the file. A cell of a CSV is never a formula to a spreadsheet."""
    if path is None:
        return
    if path.endswith(".json"):
        written(Path(path), json.dumps(rows, indent=2).encode() + b"\n")
        return
    if not path.endswith(".csv"):
        raise Usage(f"--report {path!r}: the name ends in .csv or .json.", code="report_name")
    out = io.StringIO(newline="")
    names = list(rows[0]) if rows else ["kind"]
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in names})
    written(Path(path), out.getvalue().encode())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        text = str(value.get("code", ""))
    elif isinstance(value, list):
        text = " ".join(map(str, value))
    else:
        text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _checked_report(path: str | None) -> None:
    if path is not None and not path.endswith((".csv", ".json")):
        raise Usage(f"--report {path!r}: the name ends in .csv or .json.", code="report_name")


def import_command(context: Context) -> int:
    options, console = context.options, context.console
    rows = rows_of(options.file, ("model", "digest", "environment"))
    _checked_report(options.report)
    if not rows:
        raise Usage(f"{options.file} has a header and no rows.", code="csv_malformed")
    deadline = time_named(options.deadline)
    crivo = context.server()
    show = console.progress(Path(options.file).name)
    report: list[dict[str, Any]] = []
    try:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            report += crivo.import_running(part, deadline=deadline)
            show(start + len(part), len(rows))
    finally:
        if report:
            report_to(options.report, report)  # also of what was done before it was interrupted
    counts = Counter(str(row["status"]) for row in report)
    console.document({"counts": dict(counts), "rows": report})
    console.say(
        f"{len(report)} rows: " + ", ".join(f"{n} {plain(status)}" for status, n in sorted(counts.items()))
    )
    for row in report:
        if row["status"] in ("imported", "existing"):
            console.say(
                f"  {plain(row['model'])} in {plain(row['environment'])}: grandfathered until {plain(row['deadline'])}"
            )
        else:
            console.say(
                f"  {plain(row['model'])} in {plain(row['environment'])}: not imported, {plain(row['status'])}"
            )
    return OK


def reconcile_command(context: Context) -> int:
    options, console = context.options, context.console
    rows = rows_of(options.file, ("digest", "environment"))
    _checked_report(options.report)
    data = context.server().reconcile(rows, environments=options.environment)
    findings = data["findings"]
    report_to(options.report, findings)
    console.document(data)
    counts = data["counts"]
    console.say(
        ", ".join(f"{n} {plain(kind)}" for kind, n in sorted(counts.items()))
        or "nothing runs, nothing is approved"
    )
    console.table(
        ("finding", "environment", "model", "digest", "why"),
        [
            (
                row["kind"], row["environment"], row["model"] or "–", row["digest"],
                row["reason"]["text"] if row["reason"] else "",
            )
            for row in findings
            if row["kind"] in DIFFERENCES
        ],
    )  # fmt: skip
    console.say(f"kept as {plain(data['id'])}, {plain(data['digest'])}")
    return REFUSED if data["differences"] else OK
