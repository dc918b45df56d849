from __future__ import annotations

import io

import pytest

from governance.client.console import Console, number, plain
from governance.client.shapes import Promotion
from tests.client import answers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO) -> str:
    Console(out=out).promotion(Promotion.read(answers.REFUSED))
    return out.getvalue()


def test_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31mrefused\x1b[0m" in shown(Terminal())
    assert "\x1b" not in shown(io.StringIO())


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(Terminal())


def test_the_same_words_with_and_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    import re

    assert re.sub(r"\x1b\[\d+m", "", shown(Terminal())) == shown(io.StringIO())


def test_progress_on_a_terminal_only() -> None:
    err = Terminal()
    progress = Console(err=err).progress("model.skops")
    progress(500_000, 2_000_000)
    progress(2_000_000, 2_000_000)
    assert err.getvalue() == ("\rmodel.skops   25 %  0.5 of 2.0 MB\rmodel.skops  100 %  2.0 of 2.0 MB\n")
    quiet = io.StringIO()
    Console(err=quiet).progress("x")(1, 1)
    machine = Terminal()
    Console(as_json=True, err=machine).progress("x")(1, 1)
    assert quiet.getvalue() == machine.getvalue() == ""


def test_plain() -> None:
    assert plain("a\x1b[31m\nb\u202ec\x00") == "a\ufffd[31m\ufffdb\ufffdc\ufffd"
    assert len(plain("x" * 10**6)) == 2000
    assert plain("prontuário de saúde ≥ 0,80") == "prontuário de saúde ≥ 0,80"


def test_an_undefined_value_is_no_zero() -> None:
    assert number(None) == "–"
    assert number(0.0) == "0"
    assert number(0.62833) == "0.6283"


def test_an_empty_file_is_uploaded_completely() -> None:
    err = Terminal()
    Console(err=err).progress("x")(0, 0)
    assert "100 %" in err.getvalue()
