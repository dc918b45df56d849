"""Limits on requests: by principal, by address without a valid token, and none when the cache is down."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory

from governance.api import throttling
from tests.cast import Cast

DIGEST = "sha256:" + "ab" * 32
GATE = f"/api/v1/gate?environment=production&digest={DIGEST}"


@pytest.fixture(autouse=True)
def _clean(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CRIVO_RATES = {"principal": 3, "gate": 5, "anonymous": 2}
    cache.clear()
    monkeypatch.setattr(throttling, "_down_until", 0.0)
    monkeypatch.setattr(throttling.time, "time", lambda: 6_000_000_012.25)


def ask(cast: Cast, name: str, path: str = "/api/v1/me", **headers: str) -> Any:
    return Client().get(path, headers={**cast.headers(name), **headers})


def refused(answer: Any) -> None:
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "48"  # 12.25 seconds of the minute are over
    assert answer.json()["code"] == "throttled"
    assert answer.json()["title"] == "Too many requests"


def test_by_principal_until_the_minute_is_over(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [ask(cast, "ana").status_code for _ in range(3)] == [200] * 3
    refused(ask(cast, "ana"))
    assert ask(cast, "bruno").status_code == 200
    assert ask(cast, "pipeline").status_code == 200  # Ana answers for it, but it is not Ana
    monkeypatch.setattr(throttling.time, "time", lambda: 6_000_000_059.9)
    assert ask(cast, "ana").headers["Retry-After"] == "1"
    monkeypatch.setattr(throttling.time, "time", lambda: 6_000_000_060.0)
    assert ask(cast, "ana").status_code == 200


def test_the_gate_has_its_own_limit(cast: Cast) -> None:
    for _ in range(3):
        ask(cast, "pipeline")
    refused(ask(cast, "pipeline"))
    assert [ask(cast, "pipeline", GATE).status_code for _ in range(5)] == [200] * 5
    refused(ask(cast, "pipeline", GATE))


def test_by_address_without_a_valid_token(cast: Cast) -> None:
    guess = {"Authorization": "Bearer crv_AAAAAAAAAAAA_guess"}
    assert Client().get("/api/v1/me", headers=guess).status_code == 401
    assert Client().get("/api/v1/me").status_code == 401
    refused(Client().get("/api/v1/me", headers=guess))
    refused(Client().get("/api/v1/me"))
    refused(Client().get("/api/v1/schema?format=json"))
    assert ask(cast, "ana").status_code == 200  # behind the same address, with a token
    assert Client(REMOTE_ADDR="198.51.100.7").get("/api/v1/me").status_code == 401


def test_the_address_is_what_our_own_proxies_saw(settings: Any) -> None:
    def address(proxies: int, forwarded: str) -> str:
        settings.CRIVO_PROXIES = proxies
        extra = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
        return throttling.address_of(RequestFactory().get("/", **extra))  # type: ignore[arg-type]

    assert address(0, "1.1.1.1") == "127.0.0.1"  # anybody can write that header
    assert address(1, "6.6.6.6, 1.1.1.1") == "1.1.1.1"
    assert address(2, "6.6.6.6, 1.1.1.1, 10.0.0.1") == "1.1.1.1"
    assert address(2, "1.1.1.1") == "127.0.0.1"
    assert address(1, "") == "127.0.0.1"


def test_a_limit_can_be_switched_off(cast: Cast, settings: Any) -> None:
    settings.CRIVO_RATES = {"principal": 0, "gate": 0, "anonymous": 0}
    assert {ask(cast, "ana").status_code for _ in range(10)} == {200}


class Down:
    calls = 0

    def add(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1
        raise ConnectionError("redis://:secret@host is away")


def test_when_the_cache_is_down_everybody_passes_and_the_log_says_so(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    down = Down()
    monkeypatch.setattr(throttling, "cache", down)
    with caplog.at_level(logging.WARNING, logger="governance.api.throttling"):
        assert {ask(cast, "ana").status_code for _ in range(10)} == {200}
    assert down.calls == 1  # not asked again for a few seconds: a cache that hangs must not slow everything
    assert caplog.messages == ["requests are not counted, the cache does not answer: ConnectionError"]


def test_a_redis_that_is_away_is_no_reason_to_fail(cast: Cast, settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "unix:///nowhere/valkey.sock?db=0",
            "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
        }
    }
    assert {ask(cast, "ana").status_code for _ in range(5)} == {200}
    assert throttling._down_until > 0
