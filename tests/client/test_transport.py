from __future__ import annotations

import io
import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from governance.client import Crivo, Refused, Unreachable, Usage
from governance.client import transport as transport_module
from governance.client.transport import Call, Transport, retry_after
from tests.client.answers import ME
from tests.client.double import Double, answer, hang_up, problem, raw, reset

USE_CASE = {"name": "triage", "purpose": "p", "risk_tier": "high"}


def register(crivo: Crivo) -> None:
    crivo.register_use_case("triage", purpose="p", risk_tier="high")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_write_is_repeated_under_one_key(
    status: int, double: Double, crivo: Crivo, slept: list[float]
) -> None:
    double.replies = [answer(status, b"busy"), answer(status, b"busy"), answer(201, USE_CASE)]
    register(crivo)
    keys = [asked.headers["idempotency-key"] for asked in double.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(slept) == 2
    assert slept[1] > 0


def test_two_calls_have_two_keys(double: Double, crivo: Crivo) -> None:
    double.replies = [answer(201, USE_CASE), answer(200, USE_CASE)]
    register(crivo)
    register(crivo)
    first, second = (asked.headers["idempotency-key"] for asked in double.asked)
    assert first != second


def test_a_key_given_is_the_one_sent(double: Double, crivo: Crivo) -> None:
    double.replies = [answer(201, USE_CASE)]
    crivo.register_use_case("triage", purpose="p", risk_tier="high", key="run-17")
    assert double.asked[0].headers["idempotency-key"] == "run-17"


@pytest.mark.parametrize("broken", [reset, hang_up, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")])
def test_a_broken_connection_is_repeated(broken: object, double: Double, crivo: Crivo) -> None:
    double.replies = [broken, answer(201, USE_CASE)]  # type: ignore[list-item]
    register(crivo)
    assert len({asked.headers["idempotency-key"] for asked in double.asked}) == 1
    assert len(double.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 500])
def test_an_answer_that_is_final_is_not_repeated(status: int, double: Double, crivo: Crivo) -> None:
    double.replies = [problem(status, "some_code"), answer(201, USE_CASE)]
    with pytest.raises((Refused, Unreachable)) as caught:
        register(crivo)
    assert len(double.asked) == 1
    assert caught.value.code == "some_code"
    assert isinstance(caught.value, Unreachable if status == 500 else Refused)


def test_our_own_earlier_try_in_flight_is_waited_for(double: Double, crivo: Crivo) -> None:
    double.replies = [problem(409, "request_in_flight"), answer(201, USE_CASE)]
    register(crivo)
    assert len(double.asked) == 2


def test_retry_after_is_honoured(double: Double, crivo: Crivo, slept: list[float]) -> None:
    double.replies = [problem(429, "throttled", headers={"Retry_After": "7"}), answer(200, ME)]
    crivo.whoami()
    assert slept == [7.0]


def test_a_server_that_asks_for_too_much_patience_is_given_up(
    double: Double, crivo: Crivo, slept: list[float]
) -> None:
    double.replies = [problem(503, "busy", "Come back.", headers={"Retry_After": "86400"})]
    with pytest.raises(Unreachable, match=r"Come back\."):
        crivo.whoami()
    assert slept == []


def test_it_gives_up_after_six_tries(double: Double, crivo: Crivo) -> None:
    double.replies = [answer(503, b"")] * 10
    with pytest.raises(Unreachable) as caught:
        crivo.whoami()
    assert len(double.asked) == 6
    assert (caught.value.code, caught.value.status) == ("server_error", 503)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), (" 12 ", 12.0), ("9" * 5000, 1e8), ("-3", None), ("soon", None), (None, None), ("१२", None)],
)
def test_retry_after_in_seconds(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert retry_after(formatdate(time.time() - 300, usegmt=True)) == 0.0


def test_one_connection_is_kept(double: Double, crivo: Crivo) -> None:
    double.replies = [answer(200, ME)] * 3
    for _ in range(3):
        crivo.whoami()
    assert len({asked.port for asked in double.asked}) == 1


def test_a_kept_connection_the_server_closed_costs_no_wait(
    double: Double, crivo: Crivo, slept: list[float]
) -> None:
    double.replies = [answer(200, ME), hang_up, answer(200, ME)]
    crivo.whoami()
    crivo.whoami()
    assert slept == []


def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    slept: list[float] = []
    with pytest.raises(Unreachable, match="has nothing listening") as caught:
        Crivo(f"http://127.0.0.1:{port}", "crv_t", sleep=slept.append).whoami()
    assert caught.value.exit_code == 3
    assert len(slept) == 5


def test_a_server_that_never_answers_is_left(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    double.replies = [lambda handler: time.sleep(0.5)]
    transport = Transport(double.url, "crv_t", patience=0.1)
    with pytest.raises(Unreachable, match="did not answer in time"):
        transport.send(Call("GET", "/api/v1/me", {}, timeout=0.1))
    assert len(double.asked) == 1


def test_a_redirect_is_not_followed(double: Double, crivo: Crivo) -> None:
    with Double([answer(200, ME)]) as elsewhere:
        double.replies = [answer(302, b"", Location=f"{elsewhere.url}/steal")]
        with pytest.raises(Unreachable, match="The token is not taken there"):
            crivo.whoami()
        assert elsewhere.asked == []


def test_the_token_is_in_the_header_and_nowhere_else(double: Double, crivo: Crivo) -> None:
    double.replies = [problem(401, "token_expired", "This token has expired.")]
    with pytest.raises(Refused) as caught:
        crivo.whoami()
    assert double.asked[0].headers["authorization"] == "Bearer crv_token"
    assert "crv_token" not in double.asked[0].path
    assert "crv_token" not in repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("token", ["crv_a\r\nX-Evil: 1", "crv a", "crv_ü", "crv_\x00"])
def test_a_token_that_would_break_the_header(token: str, double: Double) -> None:
    with pytest.raises(Usage, match="no token has"):
        Crivo(double.url, token)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://a:b@host", "http://h:99999", "http://h/?q=1", "http://h x",
     "http://h\r\nX: 1", "http://[::1"],
)  # fmt: skip
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(Usage, match="CRIVO_URL looks like"):
        Crivo(url, "crv_t")


def test_an_address_with_a_path(double: Double) -> None:
    double.replies = [answer(200, ME)]
    Crivo(double.url + "/crivo/", "crv_t").whoami()
    assert double.asked[0].path == "/crivo/api/v1/me"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[" * 100_000, b"null", b"[]", b'"x"', b"{}", b'{"kind": 1}', b"\xff\xfe",
     b'{"kind": "token", "id": "1", "workspace": "w", "roles": "pipeline"}'],
)  # fmt: skip
def test_a_success_that_is_none_of_ours(body: bytes, double: Double, crivo: Crivo) -> None:
    double.replies = [answer(200, body)]
    with pytest.raises(Unreachable) as caught:
        crivo.whoami()
    assert caught.value.code == "answer_unexpected"


@pytest.mark.parametrize(
    "body",
    [b"", b"<h1>Forbidden</h1>", b"[]", b'{"code": 3, "detail": []}', b'{"detail": "x"}', b"[" * 100_000],
)
def test_a_refusal_that_is_none_of_ours(body: bytes, double: Double, crivo: Crivo) -> None:
    """A proxy's 403 says nothing about what Crivo would have said."""
    double.replies = [answer(403, body)]
    with pytest.raises(Unreachable, match="is it Crivo that listens there") as caught:
        crivo.whoami()
    assert caught.value.status == 403


@pytest.mark.parametrize("reasons", [None, "x", [1], [{"code": 1}], [{"text": "t"}]])
def test_a_refusal_with_broken_reasons_is_still_one(reasons: object, double: Double, crivo: Crivo) -> None:
    double.replies = [problem(422, "closed", "Closed.", reasons=reasons, errors=[{"field": 3}, 7])]
    with pytest.raises(Refused) as caught:
        crivo.whoami()
    assert (caught.value.reasons, caught.value.fields) == ((), ())


def test_an_answer_without_end_is_left(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_JSON", 1 << 20)
    double.replies = [answer(200, b" " * (3 << 20))]
    with pytest.raises(Unreachable, match="longer than 1 MiB"):
        Crivo(double.url, "crv_t").whoami()


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00"]
)
def test_what_does_not_speak_http(garbage: bytes, double: Double, slept: list[float]) -> None:
    double.replies = [raw(garbage)] * 6
    with pytest.raises(Unreachable, match="does not speak HTTP"):
        Crivo(double.url, "crv_t", sleep=slept.append).whoami()


def test_names_cannot_leave_their_place_in_the_address(double: Double, crivo: Crivo) -> None:
    double.replies = [problem(404, "not_found")] * 2
    with pytest.raises(Refused):
        crivo.promotion("../me?x=1#y")
    assert double.asked[0].path == "/api/v1/promotions/..%2Fme%3Fx%3D1%23y"
    for name in ("", ".", ".."):
        with pytest.raises(Usage, match="is not a name"):
            crivo.promotion(name)


def test_only_the_cursor_of_the_next_page_is_used(double: Double, crivo: Crivo) -> None:
    pages = [
        {"next": "http://evil.example/x?cursor=c2&digest=1", "previous": None, "results": [{"a": 1}]},
        {"next": None, "previous": None, "results": [{"a": 2}]},
    ]
    double.replies = [answer(200, page) for page in pages]
    assert crivo.events() == [{"a": 1}, {"a": 2}]
    assert double.asked[1].path == "/api/v1/audit/events?cursor=c2&page_size=49"


def test_pages_without_end_are_left(double: Double, crivo: Crivo) -> None:
    page = {"next": "/x?cursor=same", "results": [{"a": 1}]}
    double.replies = [answer(200, page)] * 5
    assert len(crivo.events(limit=500)) == 2


def test_a_download_replaces_what_a_broken_one_left(double: Double, crivo: Crivo) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdefg"
    double.replies = [raw(cut), answer(200, b"xyz")]
    sink = io.BytesIO()
    crivo.download_export("e", sink)
    assert sink.getvalue() == b"xyz"


def test_a_refused_upload_is_understood_before_it_is_over(tmp_path: Path, double: Double) -> None:
    """A server may say 413 and hang up while we still send."""
    path = tmp_path / "big.csv"
    path.write_bytes(b"x" * (16 << 20))
    double.before_body = problem(413, "upload_too_large", "Too large.")
    with pytest.raises((Refused, Unreachable)) as caught:
        Crivo(double.url, "crv_t", tries=2, sleep=lambda _: None).register_dataset_version("d", path)
    # The answer may be lost where the reset overtakes it; then it is a broken connection, never a traceback.
    assert caught.value.code in ("upload_too_large", "unreachable")
