"""Every code written in a check has a sentence, and every sentence is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from audits.checks.contract import Message
from audits.checks.messages import TEMPLATES, english

FOLDER = Path(__file__).parents[2] / "audits" / "checks"


def written() -> Iterator[tuple[str, ast.Call, str]]:
    """Codes given as a literal to CheckError, Message or a local helper that builds one."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            first = node.args[0]
            named = node.func.id in ("CheckError", "Message", "undefined")
            if named and isinstance(first, ast.Constant):
                yield str(first.value), node, path.name


def test_every_code_has_a_sentence() -> None:
    codes = {code for code, _, _ in written()}
    assert len(codes) > 60
    assert codes <= set(TEMPLATES)


def test_every_sentence_is_about_a_code_somebody_emits() -> None:
    literals = {
        node.value
        for path in FOLDER.glob("*.py")
        if path.name != "messages.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(TEMPLATES) <= literals


def test_errors_give_their_sentence_what_it_needs() -> None:
    for code, node, name in written():
        if isinstance(node.func, ast.Name) and node.func.id == "CheckError" and code != "check_crashed":
            given = {keyword.arg: "x" for keyword in node.keywords if keyword.arg}
            assert TEMPLATES[code].format_map(given), (name, code)


def test_an_unknown_code_is_shown_and_not_lost() -> None:
    assert english(Message("no_such_code", {"a": 1})) == "no_such_code"
    assert english(Message("data_empty", {})) == "data_empty {}"
    assert english(Message("data_empty", {"role": "training"})) == "The training data has no rows."
