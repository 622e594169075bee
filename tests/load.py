"""A load on a server of this machine: one thread, some connections that stay open, request after request."""

import selectors
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """What came of it. Times are in milliseconds."""

    per_second: float
    median: float
    p99: float
    statuses: Counter

    @property
    def good(self) -> int:
        return self.statuses[200]


def request(origin: str, path: str, **headers: str) -> bytes:
    """A GET as it goes over the wire; `Authorization` and the like by name, "_" for "-"."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {urlsplit(origin).netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def load(
    origin: str,
    requests: Iterator[bytes],
    *,
    connections: int = 8,
    seconds: float = 5.0,
    per_second: float | None = None,
) -> Load:
    """Send requests over that many connections for so long, as fast as they are answered or so many a second.

    Times count from when a request should have been sent, so that one that had to wait is not forgotten.
    Raises ConnectionError where the server hangs up in the middle of an answer; between two it is asked on a
    new connection.
    """
    parts, chooser = urlsplit(origin), selectors.DefaultSelector()
    lines = [_Line(parts.hostname, parts.port) for _ in range(connections)]
    times, statuses, sent, idle = [], Counter(), 0, lines[:]
    started = time.perf_counter()
    for line in lines:
        chooser.register(line.socket, selectors.EVENT_READ, line)
    while True:
        now = time.perf_counter()
        while idle and now - started < seconds:
            due = started + sent / per_second if per_second else now
            if due > now:
                break
            idle.pop().send(next(requests), due)
            sent += 1
        if now - started >= seconds and len(idle) == len(lines):
            break
        wait = max(0.0, started + sent / per_second - now) if per_second and idle else None
        for key, _ in chooser.select(wait):
            line = key.data
            old = line.socket
            if (status := line.receive()) is not None:
                times.append((time.perf_counter() - line.sent_at) * 1000)
                statuses[status] += 1
                idle.append(line)
            elif line.socket is not old:
                chooser.unregister(old)
                chooser.register(line.socket, selectors.EVENT_READ, line)
    took = time.perf_counter() - started
    for line in lines:
        chooser.unregister(line.socket)
        line.socket.close()
    percentiles = statistics.quantiles(times, n=100, method="inclusive")
    return Load(len(times) / took, percentiles[49], percentiles[98], statuses)


class _Line:
    def __init__(self, host: str, port: int):
        self._address = host, port
        self._connect()
        self._buffer, self._asked, self.sent_at = b"", b"", 0.0

    def _connect(self) -> None:
        self.socket = socket.create_connection(self._address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, asked: bytes, at: float) -> None:
        self._asked, self._buffer, self.sent_at = asked, b"", at
        self.socket.sendall(asked)

    def receive(self) -> int | None:
        """Read what there is: the answer's status when it is whole."""
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            if self._buffer:
                raise ConnectionError("the server hung up in the middle of an answer")
            # A server closes what has carried many requests, and may do so while the next is on its way.
            self.socket.close()
            self._connect()
            self.socket.sendall(self._asked)
            return None
        self._buffer += piece
        head, found, body = self._buffer.partition(HEAD_END)
        if not found:
            return None
        head = head.lower()
        if b"transfer-encoding: chunked" in head:
            whole = body.endswith(b"0\r\n\r\n")
        else:
            _, _, after = head.partition(b"content-length:")
            whole = len(body) >= int(after.partition(b"\r\n")[0])
        if not whole:
            return None
        # Whoever hangs up from now on has answered.
        self._asked, self._buffer = b"", b""
        return int(head[9:12])
