"""Count the cases of a test report. The file is a stranger's: no document type, no entities, a bounded size."""

from __future__ import annotations

from typing import BinaryIO
from xml.parsers import expat

from audits.errors import Unprocessable

MAX_BYTES = 20 * 1024 * 1024
MAX_DEPTH = 50


def summarised(file: BinaryIO) -> dict[str, int]:
    """{tests, failures, errors, skipped} from the <testcase> elements themselves: totals in attributes may be anything.

    Unprocessable `junit_unreadable` on what is not such a report, or holds no case.
    """
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unprocessable("junit_unreadable", field="file", reason=f"more than {MAX_BYTES} bytes")
    counter = _Counter()
    parser = expat.ParserCreate()
    parser.StartElementHandler = counter.start
    parser.EndElementHandler = counter.end
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        raise Unprocessable("junit_unreadable", field="file", reason=str(error)[:200]) from error
    if not counter.found["tests"]:
        raise Unprocessable("junit_unreadable", field="file", reason="no test case")
    return counter.found


class _Counter:
    def __init__(self) -> None:
        self.path: list[str] = []
        self.outcome = ""
        self.found = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.path and name not in ("testsuites", "testsuite"):
            raise ValueError(f"the outermost element is {name[:40]}")
        if len(self.path) >= MAX_DEPTH:
            raise ValueError("too deep")
        if name == "testcase":
            self.outcome = ""
        elif self.path and self.path[-1] == "testcase" and name in WORST:
            # a case may both fail and err, in the test and in taking it down: the worst counts, once
            self.outcome = max(self.outcome, name, key=WORST.get)  # type: ignore[arg-type]
        self.path.append(name)

    def end(self, name: str) -> None:
        self.path.pop()
        if name == "testcase":
            self.found["tests"] += 1
            if self.outcome:
                self.found[PLURAL[self.outcome]] += 1


WORST = {"": 0, "skipped": 1, "failure": 2, "error": 3}
PLURAL = {"skipped": "skipped", "failure": "failures", "error": "errors"}


def _refuse(*_: object) -> None:
    raise ValueError("a document type is not accepted")
