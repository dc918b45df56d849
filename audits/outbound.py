"""Requests from Crivo to addresses that people typed in: never into the network Crivo itself stands in.

1. Only https (http if the installation says so), known ports, no user in the URL, no odd spellings of an address.
2. The name is resolved once; every address it has must be public, or lie in a network of CRIVO_WEBHOOK_ALLOW.
3. The connection goes to that very address, with the name for TLS and Host: a second look-up (DNS rebinding) never
   happens. Proxies of the environment are not asked, redirects are not followed.
4. Time (of everything together) and the bytes of the answer are bounded, however slowly they drip.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from audits.checks.contract import Message

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
SECONDS = 15.0
EXCERPT = 1024  # bytes of an answer that are read at all
LONGEST_URL = 500

# IANA special-purpose registries (RFC 6890 and its updates), multicast, and forms that carry an IPv4 address in them
# without a unique reading. `is_global` of the standard library differs between its versions, so both are asked.
REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):  # noqa: N818 - says what happened
    """Nothing was sent. `message` says why, with a code for machines."""

    def __init__(self, code: str, /, **params: object) -> None:
        self.message = Message(code, params)
        super().__init__(code)


class Unanswered(Exception):  # noqa: N818 - says what happened
    """Something may have been sent, but no answer came: no connection, no TLS, too late, not HTTP."""

    def __init__(self, code: str, /, **params: object) -> None:
        self.message = Message(code, params)
        super().__init__(code)


@dataclass(frozen=True)
class Rules:
    """Where requests may go beyond the public internet."""

    http: bool
    ports: tuple[int, ...]
    allow: tuple[str, ...]  # networks
    longest: int = LONGEST_URL  # characters of a URL

    @classmethod
    def of_webhooks(cls) -> Rules:
        return cls(
            settings.CRIVO_WEBHOOK_HTTP,
            tuple(settings.CRIVO_WEBHOOK_PORTS),
            tuple(settings.CRIVO_WEBHOOK_ALLOW),
        )


@dataclass(frozen=True)
class Target:
    scheme: str
    host: str  # ASCII; what TLS and Host say
    port: int
    path: str

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == {"https": 443, "http": 80}[self.scheme] else f"{name}:{self.port}"


@dataclass(frozen=True)
class Answer:
    status: int
    excerpt: str  # at most EXCERPT bytes of the body, what is not UTF-8 replaced
    retry_after: int | None  # seconds


def target_of(url: str, rules: Rules | None = None) -> Target:
    """The parts of an acceptable URL; Refused for any other. Says nothing about where the name leads."""
    rules = rules or Rules.of_webhooks()
    if len(url) > rules.longest or not re.fullmatch(r"[\x21-\x7e]+", url) or "\\" in url:
        raise Refused("webhook_url_malformed", limit=rules.longest)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host.encode("idna")
    except ValueError as error:
        raise Refused("webhook_url_malformed", limit=rules.longest) from error
    schemes = ("https", "http") if rules.http else ("https",)
    if parts.scheme not in schemes:
        raise Refused("webhook_scheme_refused", schemes=list(schemes))
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("webhook_url_malformed", limit=rules.longest)
    if _odd_number(host):
        raise Refused("webhook_address_refused", host=host)
    port = port if port is not None else {"https": 443, "http": 80}[parts.scheme]
    if port not in rules.ports:
        raise Refused("webhook_port_refused", port=port, known=list(rules.ports))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def _odd_number(host: str) -> bool:
    """A spelling of an IPv4 address that only the C library understands: 2130706433, 0x7f.1, 0177.0.0.1."""
    try:
        ipaddress.ip_address(host)
        return "%" in host  # a zone: link-local by nature
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def permitted(address: str, rules: Rules | None = None) -> bool:
    """Whether Crivo may connect to this address. An address within an address counts as the inner one."""
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = _inner(found)
    allowed = [ipaddress.ip_network(text) for text in (rules or Rules.of_webhooks()).allow]
    if any(inner.version == network.version and inner in network for network in allowed):
        return True
    if any(inner.version == network.version and inner in network for network in REFUSED):
        return False
    return inner.is_global and not inner.is_multicast


def _inner(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def system_resolver(host: str, port: int) -> list[str]:
    return [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def address_for(target: Target, resolve: Resolver = system_resolver, rules: Rules | None = None) -> str:
    """The one address to connect to. Refused if the name has any address that is not permitted; Unanswered: no name."""
    try:
        addresses = list(resolve(target.host, target.port))
    except (OSError, UnicodeError) as error:
        raise Unanswered("webhook_name_unknown", host=target.host) from error
    if not addresses:
        raise Unanswered("webhook_name_unknown", host=target.host)
    # One forbidden address is enough: who mixes them is trying which one we take.
    if not all(permitted(address, rules) for address in addresses):
        raise Refused("webhook_address_refused", host=target.host)
    return addresses[0]


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    resolve: Resolver | None = None,
    seconds: float = SECONDS,
) -> Answer:
    """POST to a stranger. Any answer is an Answer, redirects included; Refused and Unanswered say why there is none."""
    target = target_of(url)
    deadline = time.monotonic() + seconds
    address = address_for(target, resolve or system_resolver)
    connection = _Pinned(target, address, deadline)
    # A timeout of a socket is one of each read: this one ends an answer that drips, too.
    watchdog = threading.Timer(max(deadline - time.monotonic(), 0.001), connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request(
            "POST",
            target.path,
            body=body,
            headers={
                "Host": target.authority,
                "Connection": "close",
                "Accept-Encoding": "identity",
                **headers,
            },
        )
        response = connection.getresponse()
        excerpt = response.read(EXCERPT)
        answer = Answer(
            response.status, excerpt.decode("utf-8", "replace"), _seconds(response.getheader("Retry-After"))
        )
    except (OSError, http.client.HTTPException, ValueError) as error:
        if connection.was_cut or isinstance(error, TimeoutError):
            raise Unanswered("webhook_too_slow", seconds=seconds) from error
        raise Unanswered("webhook_no_answer", error=type(error).__name__) from error
    finally:
        watchdog.cancel()
        connection.close()
    if connection.was_cut:
        raise Unanswered("webhook_too_slow", seconds=seconds)
    return answer


@contextmanager
def get(
    url: str, *, rules: Rules, seconds: float, resolve: Resolver | None = None
) -> Iterator[http.client.HTTPResponse]:
    """GET from a stranger, the body to be read within the block. Redirects are answers; time is of all together."""
    target = target_of(url, rules)
    deadline = time.monotonic() + seconds
    connection = _Pinned(target, address_for(target, resolve or system_resolver, rules), deadline)
    watchdog = threading.Timer(max(deadline - time.monotonic(), 0.001), connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        headers = {"Host": target.authority, "Connection": "close", "Accept-Encoding": "identity"}
        try:
            connection.request("GET", target.path, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if connection.was_cut or isinstance(error, TimeoutError):
                raise Unanswered("webhook_too_slow", seconds=seconds) from error
            raise Unanswered("webhook_no_answer", error=type(error).__name__) from error
        yield response
        if connection.was_cut:
            raise Unanswered("webhook_too_slow", seconds=seconds)
    finally:
        watchdog.cancel()
        connection.close()


def _seconds(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,6}", text) else None


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was looked at, whatever the name means by now."""

    def __init__(self, target: Target, address: str, deadline: float) -> None:
        super().__init__(target.host, target.port)
        self.target, self.address, self.deadline = target, address, deadline
        self.was_cut = False
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        raw = self._raw = socket.create_connection((self.address, self.target.port), timeout=left)
        raw.settimeout(max(self.deadline - time.monotonic(), 0.001))
        self.sock = raw
        if self.target.scheme == "https":
            self.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=self.target.host)

    def cut(self) -> None:
        self.was_cut = True
        for open_socket in (self.sock, self._raw):
            try:
                if open_socket is not None:
                    open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
