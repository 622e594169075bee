"""The one door to the outside: every outbound request of the product goes through here.

Timeouts of the usual libraries count from one byte to the next, so that a slow drip never ends;
here a request has one deadline from the name look-up to the last byte, a cap on the decompressed
body, no redirects, https only, and an address that was checked is the address that is connected to.
"""

import fnmatch
import http.client
import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3.exceptions
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from console import lending, spans
from console.addresses import is_public

DEADLINE_SECONDS = 20.0
CONNECT_SECONDS = 5.0
BODY_LIMIT = 64 * 1024
# Of one answer as it comes over the wire: what its headers and everything before them may add.
WIRE_MARGIN = 192 * 1024
# Requests under way at once in this process: to all, and to one host, so that a slow one leaves room.
AT_ONCE, AT_ONCE_TO_ONE = 12, 8
PATIENCE_SECONDS = 1.0
PORTS = {443, 8443}
LOOPBACK = ("127.0.0.1", "localhost")


class _Limits(threading.local):
    """Of the request that this thread is sending: until when, and how much has come of how much."""

    at = 0.0
    wire = 0
    sent = False
    limit = BODY_LIMIT
    # Less than what holds for all.
    seconds: float | None = None
    may_be_local = False


_now = _Limits()
_look_ups = ThreadPoolExecutor(max_workers=64, thread_name_prefix="look-up")


class Unreachable(Exception):
    """No usable answer. `kind` is timeout, address, dns, tls, too_large, scheme, busy or connection."""

    def __init__(self, kind: str, why: str):
        super().__init__(why)
        self.kind = kind
        # The other side may have got the request, and done what it asks for.
        self.sent = False


def stand_in(url: str) -> str | None:
    """The address of the stand-in for this URL's origin, if there is one (development only)."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    for pattern, target in settings.STAND_IN_ORIGINS.items():
        if fnmatch.fnmatchcase(origin, pattern):
            return urlunsplit((*urlsplit(target)[:2], *parts[2:]))
    return None


def browser_url(url: str) -> str:
    """Where to send a browser for this URL: its stand-in, if there is one."""
    return stand_in(url) or url


def give(seconds: float) -> None:
    """Let whatever this thread connects to next have so long for it."""
    _now.at, _now.wire = time.monotonic() + seconds, 0


def _remaining() -> float:
    remaining = _now.at - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the deadline has passed")
    return remaining


class _DeadlineIO(socket.SocketIO):
    """Gives every single read what is left of the deadline, and no more."""

    def readinto(self, buffer):
        self._sock.settimeout(_remaining())
        size = super().readinto(buffer)
        # Here and not at the body: some of what a server may send never becomes one.
        _now.wire += size or 0
        if _now.wire > _now.limit + WIRE_MARGIN:
            raise Unreachable("too_large", f"more than {_now.limit + WIRE_MARGIN} bytes")
        return size


class _DeadlineSocket:
    """What http.client needs of a socket to build a response: makefile."""

    def __init__(self, sock):
        self._sock = sock

    def makefile(self, mode):
        reader = _DeadlineIO(self._sock, "r")
        # As socket.makefile does: the socket stays open until its reader is closed.
        self._sock._io_refs += 1
        return io.BufferedReader(reader)


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock, *args, **kwargs):
        super().__init__(_DeadlineSocket(sock), *args, **kwargs)


class Checked:
    """Resolve once, check every answer, connect to one that was checked (no second look-up)."""

    response_class = _DeadlineResponse

    def send(self, data):
        if self.sock is None:
            self.connect()
        _now.sent = True
        super().send(data)

    def _new_conn(self):
        allowed = (self.host, self.port) in _stand_in_targets() or _is_local(self.host)
        if self.port not in PORTS and not allowed:
            raise Unreachable("address", f"port {self.port} is not allowed")
        addresses = _addresses(self._dns_host, self.port)
        if not allowed and not all(is_public(address.partition("%")[0]) for address in addresses):
            raise Unreachable("address", f"{self._dns_host} leads to an address that is not public")
        failure = OSError(f"{self._dns_host} has no address")
        for address in addresses:
            try:
                seconds = min(CONNECT_SECONDS, _remaining())
                found = socket.create_connection((address, self.port), timeout=seconds)
            except OSError as error:
                failure = error
            else:
                # A body follows its head at once, and not when the other side has said that it got the head.
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return found
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    """Every address of a name. The system's look-up knows no deadline, so a thread waits for it."""
    looked_up = _look_ups.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        answers = looked_up.result(timeout=_remaining())
    except TimeoutError as error:
        raise Unreachable("timeout", f"the look-up of {host} takes too long") from error
    except (OSError, UnicodeError) as error:
        raise Unreachable("dns", f"{host} has no address") from error
    return list(dict.fromkeys(answer[4][0] for answer in answers))


def _is_local(host: str) -> bool:
    """Whether this request may stay on a developer's own machine, and does."""
    return settings.DEVELOPMENT and _now.may_be_local and host in LOOPBACK


def _stand_in_targets() -> set[tuple[str, int]]:
    return {(parts.hostname, parts.port) for parts in map(urlsplit, settings.STAND_IN_ORIGINS.values())}


class CheckedHTTP(Checked, HTTPConnection):
    pass


class CheckedHTTPS(Checked, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = CheckedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = CheckedHTTPS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections, maxsize, block=False, **kwargs):
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(self, request, **kwargs):
        """Send within the deadline and read the capped body. Raises Unreachable."""
        # The host alone: the rest of an address may hold a token.
        host = urlsplit(request.url).hostname or ""
        if not request.url.startswith("https://") and not _is_local(host):
            raise Unreachable("scheme", "only https is allowed")
        with spans.span(f"{request.method} {host}", "CLIENT", **{"server.address": host}) as span:
            response = self._send_there(request, **kwargs)
            span.name(f"{request.method} {host}", **{"http.response.status_code": response.status_code})
            return response

    def _send_there(self, request, **kwargs):
        if target := stand_in(request.url):
            request.headers["Host"] = urlsplit(request.url).netloc
            request.url = target
        _now.at = time.monotonic() + (_now.seconds or DEADLINE_SECONDS)
        _now.wire, _now.sent = 0, False
        lending.give_back()
        try:
            with _room(urlsplit(request.url).netloc):
                return self._send(request, **kwargs)
        except Unreachable as error:
            error.sent = _now.sent
            raise

    def _send(self, request, **kwargs):
        kwargs |= {"stream": True, "timeout": (CONNECT_SECONDS, DEADLINE_SECONDS), "proxies": None}
        try:
            response = super().send(request, **kwargs)
            response._content = self._read(response)
            response._content_consumed = True
            # Not what the answer claims: guessing takes long, and some codecs raise what nobody expects.
            response.encoding = "utf-8"
        except Unreachable:
            raise
        except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
            raise Unreachable("tls", "the certificate is not valid") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            late = time.monotonic() >= _now.at or isinstance(error, requests.Timeout)
            raise Unreachable("timeout" if late else "connection", type(error).__name__) from error
        return response

    def _read(self, response) -> bytes:
        body = b""
        # Small pieces: one piece of a compressed bomb grows a thousandfold before we see its size.
        for piece in response.raw.stream(4096, decode_content=True):
            body += piece
            if len(body) > _now.limit:
                response.close()
                raise Unreachable("too_large", f"more than {_now.limit:,} bytes")
        return body


_under_way: Counter[str] = Counter()
_room_changed = threading.Condition()


@contextmanager
def _room(host: str):
    """Wait a moment for others to come back. Raises Unreachable where they do not."""

    def is_free():
        return _under_way[host] < AT_ONCE_TO_ONE and _under_way.total() < AT_ONCE

    with _room_changed:
        if not _room_changed.wait_for(is_free, timeout=PATIENCE_SECONDS):
            raise Unreachable("busy", "too many requests are under way")
        _under_way[host] += 1
    try:
        yield
    finally:
        with _room_changed:
            _under_way[host] -= 1
            if not _under_way[host]:
                del _under_way[host]
            _room_changed.notify_all()


_adapter = _Adapter(pool_connections=50, pool_maxsize=50)


def guard(session: requests.Session) -> requests.Session:
    """Make a session go through this door: our adapter, no redirects, nothing from the environment."""
    session.adapters.clear()
    session.mount("https://", _adapter)
    session.mount("http://", _adapter)
    session.trust_env = False
    # A jar shared by all partners would hand one's provider session to another.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.resolve_redirects = lambda *args, **kwargs: iter(())
    return session


_session = guard(requests.Session())


def send(
    url: str,
    sign: Callable[[requests.PreparedRequest], None] = lambda prepared: None,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    data: bytes | None = None,
    limit: int = BODY_LIMIT,
    deadline: float | None = None,
    may_be_local: bool = False,
) -> requests.Response:
    """Send a request, signed as a whole; the answer may have `limit` bytes. Redirects are answers as well.

    `deadline` is in seconds. One that `may_be_local` reaches a developer's own machine, where DEVELOPMENT is
    set. Raises Unreachable.
    """
    try:
        request = requests.Request(method, url, {"Accept": "application/json", **(headers or {})}, data=data)
        prepared = _session.prepare_request(request)
        sign(prepared)
        # A signature is text that was never looked at: what is no header must not become two.
        prepared.prepare_headers(prepared.headers)
        _now.limit, _now.seconds, _now.may_be_local = limit, deadline, may_be_local
        return _session.send(prepared, allow_redirects=False)
    except requests.RequestException as error:
        # An address or a header that cannot be sent at all.
        raise Unreachable("connection", type(error).__name__) from error
    finally:
        _now.limit, _now.seconds, _now.may_be_local = BODY_LIMIT, None, False


def reachable(host: str, port: int, seconds: float = CONNECT_SECONDS) -> list[tuple[str, int]]:
    """Where a server that speaks no HTTP may be connected to, each address checked; the look-up has so long.

    Whoever connects must use one of these and look nothing up again. Raises Unreachable.
    """
    lending.give_back()
    give(seconds)
    if target := stand_in(f"tcp://{host}:{port}"):
        parts = urlsplit(target)
        return [(parts.hostname, parts.port)]
    addresses = _addresses(host, port)
    if not all(is_public(address.partition("%")[0]) for address in addresses):
        raise Unreachable("address", f"{host} leads to an address that is not public")
    return [(address, port) for address in addresses]


def knock(host: str, port: int) -> None:
    """Open a connection to a public address and close it. Raises Unreachable, OSError."""
    socket.create_connection(reachable(host, port)[0], timeout=CONNECT_SECONDS).close()
