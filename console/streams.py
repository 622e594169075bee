"""The one door to the outside, for requests whose bodies pass through: the proxy's.

The rules are those of console.http (https only, an address that was checked is the one connected to, nothing
followed, nothing of the environment); but a body is handed on piece by piece, whatever its size, so that
there is no deadline for the whole. Instead each piece has one, and so has everything until the answer's
headers have come.
"""

import contextlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from urllib.parse import urlsplit

import certifi
import urllib3.exceptions
from urllib3.util.connection import is_connection_dropped

from console import http as door
from console import lending, spans
from console.http import Unreachable

# Until the answer's headers have come; from one piece of a body to the next; for a whole answer.
HEADERS_SECONDS, IDLE_SECONDS, BODY_SECONDS = 60.0, 60.0, 3600.0
PIECE = 64 * 1024
# A connection waits so long for another request; of all providers together so many wait.
KEPT_SECONDS, KEPT = 15.0, 64
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+[ \t]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _Reader(socket.SocketIO):
    """Gives every read what is left until `until`, and never more than a piece may take."""

    until = 0.0

    def readinto(self, buffer):
        left = min(IDLE_SECONDS, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left)
        return super().readinto(buffer)


class _Readable:
    """What http.client needs of a socket to build a response: makefile."""

    def __init__(self, sock):
        self._sock = sock
        self.reader: _Reader | None = None

    def makefile(self, mode):
        self.reader = _Reader(self._sock, "r")
        # As socket.makefile does: the socket stays open until its reader is closed.
        self._sock._io_refs += 1
        return io.BufferedReader(self.reader)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock, *args, **kwargs):
        readable = _Readable(sock)
        super().__init__(readable, *args, **kwargs)
        self.reader = readable.reader

    def begin(self):
        self.reader.until = time.monotonic() + HEADERS_SECONDS
        super().begin()
        self.reader.until = time.monotonic() + BODY_SECONDS

    def _read_status(self):
        """RFC 9110, section 15.2: any number of interim answers may come first (103 Early Hints)."""
        while True:
            found = super()._read_status()
            if not 102 <= found[1] < 200:
                return found
            http.client.parse_headers(self.fp)


class _Plain(door.CheckedHTTP):
    response_class = _Response


class _Secure(door.CheckedHTTPS):
    response_class = _Response


@cache
def _tls() -> ssl.SSLContext:
    # One for all: each would read every authority's certificate anew.
    return ssl.create_default_context(cafile=certifi.where())


# ── connections that wait for another request ───────────────────────────────────────────────────

# The longest waiting first: (scheme, host and port; the connection; since when).
_kept: list[tuple[tuple[str, str, int], door.Checked, float]] = []
_kept_lock = threading.Lock()


def _take(place: tuple[str, str, int]) -> door.Checked | None:
    """A connection that is still open; its address was checked when it was made."""
    while True:
        with _kept_lock:
            number = next((n for n in range(len(_kept) - 1, -1, -1) if _kept[n][0] == place), None)
            if number is None:
                return None
            _, connection, since = _kept.pop(number)
        if time.monotonic() - since < KEPT_SECONDS and not is_connection_dropped(connection):
            return connection
        connection.close()


def _keep(place: tuple[str, str, int], connection: door.Checked) -> None:
    now, over = time.monotonic(), []
    with _kept_lock:
        _kept.append((place, connection, now))
        while len(_kept) > KEPT or now - _kept[0][2] > KEPT_SECONDS:
            over.append(_kept.pop(0)[1])
    for old in over:
        old.close()


def _made(place: tuple[str, str, int]) -> door.Checked:
    scheme, host, port = place
    if scheme == "https":
        return _Secure(host, port, ssl_context=_tls(), timeout=door.CONNECT_SECONDS)
    return _Plain(host, port, timeout=door.CONNECT_SECONDS)


# ── one request and its answer ──────────────────────────────────────────────────────────────────


class Answer:
    """What came back: its head is here, its body still on the way. To be closed, whatever happens."""

    def __init__(self, place, connection: door.Checked, response: _Response):
        self._place, self._connection, self._response = place, connection, response
        self.status: int = response.status
        self.reason: str = response.reason if response.reason.isprintable() else ""
        self.headers: list[tuple[str, str]] = _tidy(response.headers)
        # Bytes, as far as the head says; None: as many as come.
        self.length: int | None = response.length
        self._is_open = True

    def header(self, name: str) -> str:
        """The first of this name; "" where there is none."""
        return next((value for other, value in self.headers if other.lower() == name.lower()), "")

    def read(self) -> bytes:
        """The whole body. Raises Unreachable where it breaks off."""
        return b"".join(self)

    def beginning(self, size: int, seconds: float) -> tuple[bytes, bool]:
        """The first of the body, and whether that is all of it; whoever wants no more hangs up.

        Raises Unreachable where it breaks off, or takes longer.
        """
        self._response.reader.until = time.monotonic() + seconds
        found = b""
        try:
            for piece in self:
                found += piece
                if len(found) > size:
                    return found[:size], False
            return found, True
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        """The body as it comes. Raises Unreachable where it breaks off."""
        lending.give_back()
        response = self._response
        try:
            while not response.isclosed() and response.length != 0:
                piece = response.read1(PIECE)
                if piece:
                    yield piece
                elif response.length:
                    raise Unreachable("connection", "the answer ends too early")
                else:
                    break
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.close()
            raise _unreachable(error) from error
        except BaseException:
            self.close()
            raise
        self._end()

    def _end(self) -> None:
        """Whatever was sent has been read: the connection may serve another request."""
        if self._is_open:
            self._is_open = False
            reusable = not self._response.will_close
            self._response.close()
            if reusable:
                _keep(self._place, self._connection)
            else:
                self._connection.close()

    def close(self) -> None:
        """Hang up, unless all of it has been read."""
        if self._is_open:
            self._is_open = False
            self._response.close()
            self._connection.close()


def send(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: bytes | Iterable[bytes] | None = None,
    *,
    chunked: bool = False,
    again: bool = False,
) -> Answer:
    """Send a request and read the head of its answer, a redirect as well as any other.

    `headers` are all that is sent but Host; with `chunked` a body is framed as such (RFC 9112, section 7.1),
    else they hold its length. `again` allows a second try where a connection that had waited turns out to be
    dead: for what may be done twice. Raises Unreachable.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise Unreachable("scheme", "only https is allowed")
    host = parts.hostname or ""
    there = urlsplit(door.stand_in(url) or url)
    place = (there.scheme, there.hostname or "", there.port or 443)
    target = (there.path or "/") + (f"?{there.query}" if there.query else "")
    head = [("Host", parts.netloc), *headers]
    lending.give_back()
    with spans.span(f"{method} {host}", "CLIENT", **{"server.address": host}) as span:
        while True:
            connection = _take(place)
            waited = connection is not None
            try:
                answer = _exchange(place, connection or _made(place), method, target, head, body, chunked)
            except Unreachable as error:
                if waited and again and error.kind == "connection":
                    continue
                raise
            span.name(f"{method} {host}", **{"http.response.status_code": answer.status})
            return answer


def _exchange(place, connection, method, target, head, body, chunked) -> Answer:
    is_sent = False
    try:
        if connection.sock is None:
            door.give(door.CONNECT_SECONDS * 2)
            connection.connect()
        connection.sock.settimeout(IDLE_SECONDS)
        is_sent = True
        # Who answers before it has read everything, and hangs up, has answered (RFC 9112, section 9.6).
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in head:
                connection.putheader(name, value)
            connection.endheaders()
            _send_body(connection, body, chunked)
        # Of urllib3 only the way to connect is wanted.
        response = http.client.HTTPConnection.getresponse(connection)
        try:
            _check_framing(response)
        except Unreachable:
            response.close()
            raise
        return Answer(place, connection, response)
    except BaseException as error:
        connection.close()
        told = _unreachable(error)
        if told is error:
            raise
        told.sent = is_sent
        raise told from error


def _send_body(connection, body, chunked: bool) -> None:
    if body is None:
        return
    for piece in [body] if isinstance(body, bytes) else body:
        if piece:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        connection.send(b"0\r\n\r\n")


def _check_framing(response: http.client.HTTPResponse) -> None:
    """An answer that says twice where it ends may be read differently by whoever is next (RFC 9112, 6.3)."""
    lengths = set(response.headers.get_all("Content-Length", []))
    coding = response.headers.get_all("Transfer-Encoding", [])
    if len(lengths) > 1 or (coding and (lengths or not response.chunked or len(coding) > 1)):
        raise Unreachable("framing", "the answer does not say clearly where it ends")
    if response.status == http.client.SWITCHING_PROTOCOLS:
        raise Unreachable("framing", "the answer changes to another protocol")
    if lengths and not re.fullmatch(r"[0-9]+", lengths.pop()):
        raise Unreachable("framing", "the answer does not say clearly where it ends")


def _tidy(headers) -> list[tuple[str, str]]:
    """Without what is no header; a value that was folded, or holds control characters, is one line.

    RFC 9112, section 5.2, and RFC 9110, section 5.5.
    """
    return [
        (name, _CONTROL.sub(" ", value).strip()) for name, value in headers.items() if _TOKEN.fullmatch(name)
    ]


def _unreachable(error: BaseException) -> BaseException:
    """As Unreachable, where it is a matter of the connection; anything else as it is."""
    if isinstance(error, (ssl.SSLError, urllib3.exceptions.SSLError)) and not isinstance(error, TimeoutError):
        return Unreachable("tls", "the certificate is not valid")
    if isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError)):
        return Unreachable("timeout", "no answer in time")
    if isinstance(error, (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)):
        return Unreachable("connection", type(error).__name__)
    return error
