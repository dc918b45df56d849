"""Where Crivo may be sent: into the internet, never into its own network, whatever the name or the number says."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from audits import outbound
from audits.outbound import Refused, Unanswered, address_for, permitted, post, target_of
from tests.audits.receiver import Receiver

PUBLIC = "93.184.215.14"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def loopback(settings: Any, receiver: Receiver) -> Receiver:
    settings.CRIVO_WEBHOOK_HTTP = True
    settings.CRIVO_WEBHOOK_PORTS = [receiver.port]
    settings.CRIVO_WEBHOOK_ALLOW = ["127.0.0.1/32"]
    return receiver


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "not an address", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not permitted(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert permitted(address)


def test_an_allowed_network_is_allowed_and_nothing_beside_it(settings: Any) -> None:
    settings.CRIVO_WEBHOOK_ALLOW = ["10.20.0.0/16", "fd00:1::/64"]
    assert permitted("10.20.255.1")
    assert permitted("::ffff:10.20.0.1")
    assert permitted("fd00:1::5")
    assert not permitted("10.21.0.1")
    assert not permitted("fd00:2::5")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "webhook_scheme_refused"),
        ("file:///etc/passwd", "webhook_scheme_refused"),
        ("gopher://example.com/", "webhook_scheme_refused"),
        ("//example.com/", "webhook_scheme_refused"),
        ("https:///path", "webhook_url_malformed"),
        ("https://user@example.com/", "webhook_url_malformed"),
        ("https://user:secret@example.com/", "webhook_url_malformed"),
        ("https://example.com@127.0.0.1/", "webhook_url_malformed"),
        ("https://example.com/#part", "webhook_url_malformed"),
        ("https://example.com\\@evil/", "webhook_url_malformed"),
        ("https://example.com/a b", "webhook_url_malformed"),
        ("https://example.com/\r\nX: y", "webhook_url_malformed"),
        ("https://exämple.com/", "webhook_url_malformed"),
        ("https://example.com:99999/", "webhook_url_malformed"),
        ("https://[::1/", "webhook_url_malformed"),
        ("https://a..b/", "webhook_url_malformed"),
        ("https://example.com/" + "x" * 500, "webhook_url_malformed"),
        ("https://example.com:22/", "webhook_port_refused"),
        ("https://example.com:80/", "webhook_port_refused"),
        ("https://2130706433/", "webhook_address_refused"),
        ("https://0x7f000001/", "webhook_address_refused"),
        ("https://0x7f.1/", "webhook_address_refused"),
        ("https://0177.0.0.1/", "webhook_address_refused"),
        ("https://127.1/", "webhook_address_refused"),
        ("https://0/", "webhook_address_refused"),
        ("https://[fe80::1%25eth0]/", "webhook_address_refused"),
    ],
)
def test_urls_that_cannot_be_a_webhook(url: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        target_of(url)
    assert refused.value.message.code == code


def test_an_acceptable_url() -> None:
    target = target_of("https://Hooks.Example.com:8443/in?token=1")
    assert (target.host, target.port, target.path) == ("hooks.example.com", 8443, "/in?token=1")
    assert target.authority == "hooks.example.com:8443"
    assert target_of("https://example.com").authority == "example.com"
    assert target_of("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"


def test_a_name_with_one_forbidden_address_is_refused() -> None:
    target = target_of("https://hooks.example/")
    assert address_for(target, lambda host, port: [PUBLIC, "8.8.8.8"]) == PUBLIC
    for addresses in ([PUBLIC, "127.0.0.1"], ["169.254.169.254"], ["::ffff:10.0.0.1", PUBLIC]):
        with pytest.raises(Refused, match="webhook_address_refused"):
            address_for(target, lambda host, port, found=addresses: found)
    with pytest.raises(Unanswered, match="webhook_name_unknown"):
        address_for(target, lambda host, port: [])


def test_numbers_and_localhost_are_refused_by_the_real_resolver() -> None:
    for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "10.0.0.1"):
        with pytest.raises(Refused, match="webhook_address_refused"):
            post(f"https://{host}/", b"{}", {})


def test_a_name_is_resolved_once_and_the_connection_goes_there(loopback: Receiver) -> None:
    """DNS rebinding: whatever a second look-up would say, there is none. The name never existed for the system."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    answer = post(loopback.url, b'{"a":1}', {"webhook-id": "x"}, resolve=resolve)
    assert answer.status == 204
    assert asked == ["hooks.example"]
    headers, content = loopback.got[0]
    assert headers["host"] == f"hooks.example:{loopback.port}"
    assert headers["webhook-id"] == "x"
    assert content == b'{"a":1}'


def test_without_the_setting_the_loopback_stays_shut(settings: Any, loopback: Receiver) -> None:
    settings.CRIVO_WEBHOOK_ALLOW = []
    with pytest.raises(Refused, match="webhook_address_refused"):
        post(loopback.url, b"{}", {}, resolve=lambda host, port: ["127.0.0.1"])
    assert loopback.got == []


def test_proxies_of_the_environment_are_not_asked(
    loopback: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(loopback.url, b"{}", {}, resolve=lambda host, port: ["127.0.0.1"]).status == 204


def test_redirects_are_not_followed(loopback: Receiver) -> None:
    loopback.answer = lambda body: (307, {"Location": f"http://127.0.0.1:{loopback.port}/inner"}, b"")
    assert post(loopback.url, b"{}", {}, resolve=lambda host, port: ["127.0.0.1"]).status == 307
    assert len(loopback.got) == 1


def test_of_the_answer_only_a_little_is_read(loopback: Receiver) -> None:
    loopback.answer = lambda body: (500, {"Retry-After": "120"}, b"\xff" + b"x" * 5_000_000)
    answer = post(loopback.url, b"{}", {}, resolve=lambda host, port: ["127.0.0.1"])
    assert answer.status == 500
    assert answer.retry_after == 120
    assert answer.excerpt == "\ufffd" + "x" * 1023


def _dripping(first: bytes) -> tuple[socket.socket, int]:
    """A server that says `first` and then one byte now and then, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            connection.sendall(first)
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener, listener.getsockname()[1]


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_is_cut(settings: Any, first: bytes) -> None:
    listener, port = _dripping(first)
    settings.CRIVO_WEBHOOK_HTTP, settings.CRIVO_WEBHOOK_PORTS = True, [port]
    settings.CRIVO_WEBHOOK_ALLOW = ["127.0.0.1/32"]
    started = time.monotonic()
    with pytest.raises(Unanswered, match="webhook_too_slow"):
        post(
            f"http://hooks.example:{port}/", b"{}", {}, resolve=lambda host, port: ["127.0.0.1"], seconds=0.4
        )
    assert time.monotonic() - started < 2
    listener.close()


def test_no_answer_at_all(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings.CRIVO_WEBHOOK_HTTP, settings.CRIVO_WEBHOOK_PORTS = True, [port]
    settings.CRIVO_WEBHOOK_ALLOW = ["127.0.0.1/32"]
    with pytest.raises(Unanswered, match="webhook_no_answer"):
        post(f"http://hooks.example:{port}/", b"{}", {}, resolve=lambda host, port: ["127.0.0.1"])


def _certificate(folder: Any, name: str) -> tuple[str, str]:
    """A self-signed certificate for `name`, as PEM files (certificate, key)."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_tls_is_verified_against_the_name(
    settings: Any, receiver: Receiver, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _certificate(tmp_path, "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    settings.CRIVO_WEBHOOK_PORTS, settings.CRIVO_WEBHOOK_ALLOW = [receiver.port], ["127.0.0.1/32"]

    def call(name: str) -> outbound.Answer:
        return post(f"https://{name}:{receiver.port}/", b"{}", {}, resolve=lambda host, port: ["127.0.0.1"])

    with pytest.raises(Unanswered) as unknown:  # nobody vouches for this certificate
        call("hooks.example")
    assert unknown.value.message.params == {"error": "SSLCertVerificationError"}
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert call("hooks.example").status == 204
    with pytest.raises(Unanswered) as other:  # a certificate, but of somebody else
        call("other.example")
    assert other.value.message.params == {"error": "SSLCertVerificationError"}
    assert len(receiver.got) == 1
