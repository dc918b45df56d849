from __future__ import annotations

import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from governance.embedded import valkey as module
from governance.embedded.errors import EmbeddedError
from governance.embedded.valkey import EmbeddedValkey


@pytest.fixture(scope="module")
def broker(module_home: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(module_home)
    valkey.start()
    yield valkey
    valkey.stop()


def test_a_celery_message_goes_through_the_unix_socket(broker: EmbeddedValkey) -> None:
    app = Celery("probe", broker=broker.url, set_as_current=False)
    app.send_task("probe.nothing", kwargs={"word": "é"}, queue="probe")
    with kombu.Connection(broker.url) as connection:
        message = connection.SimpleQueue("probe").get(timeout=5)
        assert message.payload[1] == {"word": "é"}
        message.ack()


def test_only_its_user_reaches_it_with_the_password_and_only_by_the_socket(broker: EmbeddedValkey) -> None:
    assert stat.S_IMODE(broker.socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(broker.socket_path.parent.stat().st_mode) == 0o700
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=str(broker.socket_path), retry=Retry(NoBackoff(), 0)).ping()
    client = redis.Redis(unix_socket_path=str(broker.socket_path), password=broker.secrets.broker)
    assert client.config_get("port") == {"port": "0"}
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert broker.process is not None
    assert broker.secrets.broker not in Path(f"/proc/{broker.process.pid}/cmdline").read_text()


def test_a_second_one_joins_and_does_not_stop_what_it_joined(broker: EmbeddedValkey) -> None:
    second = EmbeddedValkey(broker.home)
    assert second.start() is False
    second.stop()
    assert broker.is_running


def test_it_starts_again_after_kill_9(broker: EmbeddedValkey) -> None:
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    assert not broker.is_running
    assert broker.socket_path.exists()  # what a crash leaves
    again = EmbeddedValkey(broker.home)
    assert again.start() is True
    again.stop()
    assert not again.socket_path.exists()
    broker.stop()
    assert broker.start() is True


def test_a_squatter_on_the_socket_is_not_taken_for_it(home: Path) -> None:
    valkey = EmbeddedValkey(home)
    folder = valkey.socket_path.parent
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(str(valkey.socket_path))
        squatter.listen()
        squatter.settimeout(0.1)
        folder.chmod(0o755)
        with pytest.raises(EmbeddedError) as caught:
            valkey.answers()
        with pytest.raises(TimeoutError):
            squatter.accept()  # not even asked, so the password was not told
    assert caught.value.code == "runtime_folder_squatted"
    shutil.rmtree(folder)


def test_a_broker_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = home / "failing"
    failing.write_text("#!/bin/sh\necho 'no memory for you'\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(module, "binary", lambda: failing)
    with pytest.raises(EmbeddedError, match="no memory for you") as caught:
        EmbeddedValkey(home / "x").start()
    assert caught.value.code == "valkey_failed"
