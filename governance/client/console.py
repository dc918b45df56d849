"""What people see: aligned text, colour only on a terminal that wants it, progress of uploads; or JSON for machines.

Nothing a server says reaches the terminal with control or direction characters in it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from governance.client.errors import CrivoError, Refused, Usage
from governance.client.multipart import Progress, no_progress
from governance.client.shapes import GateAnswer, Promotion, Requirement

COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
STATES = {
    "checking": ("the checks are running", "yellow"),
    "awaiting_approval": ("waits for people", "yellow"),
    "granted": ("granted, not effective yet", "yellow"),
    "refused": ("refused", "red"),
    "withdrawn": ("withdrawn", "red"),
    "expired": ("expired", "red"),
}
MARKS = {
    "passed": ("within", "green"),
    "attested": ("attested", "green"),
    "failed": ("MISSED", "red"),
    "pending": ("pending", "yellow"),
    "waived": ("waived", "yellow"),
}


def plain(text: object) -> str:
    """Text of somebody else on our terminal: one line, nothing invisible, not endless."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:2000])


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


class Console:
    """Where the command writes. `as_json`: one JSON document on stdout and nothing else there."""

    def __init__(
        self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self.out = sys.stdout if out is None else out
        self.err = sys.stderr if err is None else err
        self.coloured = (
            self.out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def paint(self, text: str, *styles: str) -> str:
        if not self.coloured:
            return text
        return "".join(f"\x1b[{COLOURS[style]}m" for style in styles) + text + "\x1b[0m"

    def say(self, line: str = "") -> None:
        """A line for people; silent when the answer is JSON."""
        if not self.as_json:
            print(line, file=self.out)

    def note(self, line: str) -> None:
        """A line about the work itself, never part of the answer."""
        print(plain(line), file=self.err, flush=True)

    def document(self, data: Any) -> None:
        if self.as_json:
            print(json.dumps(data, indent=2, ensure_ascii=True), file=self.out)

    def form(self, data: Any) -> None:
        """JSON to be filled in and read again, with or without --json."""
        print(json.dumps(data, indent=2, ensure_ascii=False), file=self.out)

    def fields(self, rows: Iterable[tuple[str, object]]) -> None:
        shown = [(name, plain(value)) for name, value in rows]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.say(f"  {name:<{width}}  {value}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [list(header), *([plain(cell) for cell in row] for row in rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
        for line, row in enumerate(cells):
            text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            self.say("  " + (self.paint(text, "dim") if line == 0 else text))

    def progress(self, label: str, unit: str = "MB", scale: float = 1e6) -> Progress:
        """A line that is rewritten while an upload runs, or an export is made, on a terminal only."""
        if self.as_json or not self.err.isatty():
            return no_progress
        shown = 0.0

        def show(sent: int, total: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if sent < total and now - shown < 0.1:
                return
            shown = now
            share = 100 * sent // total if total else 100
            end = "\n" if sent >= total else ""
            decimals = 1 if scale > 1 else 0
            print(
                f"\r{plain(label)}  {share:3d} %  {sent / scale:,.{decimals}f} of {total / scale:,.{decimals}f} {unit}",
                end=end,
                file=self.err,
                flush=True,
            )

        return show

    # Larger answers

    def failure(self, error: CrivoError) -> None:
        """What happened, why, and what to do."""
        if self.as_json:
            self.document(error.to_json())
            return
        heading = {1: "Refused", 2: "Not understood"}.get(error.exit_code, "Failed")
        print(f"{heading}: {plain(error.detail)}", file=self.err)
        if isinstance(error, Refused):
            for reason in error.reasons:
                print(f"  - {plain(reason.text)}", file=self.err)
            if error.fields:
                print(f"  (in {plain(', '.join(error.fields))})", file=self.err)
        if isinstance(error, Usage) and error.code == "usage":
            print("  crivo --help lists the commands.", file=self.err)

    def promotion(self, promotion: Promotion) -> None:
        """Where it stands and, line by line, on what proof."""
        text, colour = STATES.get(promotion.state, (promotion.state, "yellow"))
        if promotion.effective:
            text, colour = f"effective since {promotion.effective_at}", "green"
        self.say(
            f"{self.paint(plain(promotion.reference), 'bold')} to {plain(promotion.to)}: "
            f"{self.paint(plain(text), colour)}"
        )
        policy = promotion.policy
        self.fields(
            [
                ("promotion", promotion.id),
                ("policy", f"{policy.get('id', '')}@{policy.get('version', '')} {policy.get('digest', '')}"),
                *([("dossier", promotion.dossier_digest)] if promotion.dossier_digest else []),
            ]
        )
        self.requirements(promotion.requirements)
        if promotion.approvals:
            self.say(
                "  approvals: "
                + ", ".join(
                    f"{plain(slot.role)} {slot.given} of {slot.needed}" for slot in promotion.approvals
                )
            )
        self.reasons([plain(reason.text) for reason in promotion.reasons])

    def requirements(self, lines: Sequence[Requirement]) -> None:
        if not lines:
            return
        self.say()
        shown = [
            (
                MARKS.get(line.verdict, (line.verdict, "red")),
                plain(line.check),
                plain(line.metric + (f" of {line.attribute}" if line.attribute else "")),
                number(line.value) if line.interval is None else
                f"{number(line.value)} [{number(line.interval[0])}, {number(line.interval[1])}]",
                f"{'at least' if line.op == 'min' else 'at most'} {number(line.limit)} ({plain(line.bound)})",
            )
            for line in lines
        ]  # fmt: skip
        widths = [max(len(row[at]) for row in shown) for at in (1, 2, 3)]
        marks = max(len(row[0][0]) for row in shown)
        for (mark, colour), *cells, limit in shown:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            self.say(f"  {self.paint(plain(mark).ljust(marks), colour)}  {padded}  {limit}")

    def reasons(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self.say(f"  - {sentence}")

    def gate(self, answer: GateAnswer) -> None:
        word = self.paint("yes", "green", "bold") if answer.allowed else self.paint("no", "red", "bold")
        self.say(f"{word}: {plain(answer.digest)} in {plain(answer.environment)}")
        if answer.allowed and answer.break_glass:
            self.say(self.paint(f"  broken glass, until {plain(answer.until)}", "red", "bold"))
        for placement in answer.placements if answer.allowed and not answer.break_glass else ():
            self.say(
                f"  {plain(placement.get('model', ''))}@{plain(placement.get('n', ''))} "
                f"effective since {plain(placement.get('effective_at', ''))}, "
                f"promotion {plain(placement.get('promotion', ''))}"
            )
        self.reasons([plain(reason.text) for reason in answer.reasons])
