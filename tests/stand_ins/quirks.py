"""A server on the loopback interface that sends exactly the bytes it is told to.

For answers that no framework would give: a drip, headers without end, a bomb, a bad certificate.
"""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
# What is sent for one request: bytes, and numbers of seconds to wait between them.
Parts = Iterable[bytes | float]


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def everything(self) -> str:
        """All that came, for a search of what must not have come."""
        return f"{self.method} {self.target}\n{self.headers}\n{self.body.decode('latin-1')}"


def answer(
    body: bytes | str = b"",
    *headers: str,
    status: str = "200 OK",
    content_type: str = "application/json",
    length: int | None = None,
    close: bool = True,
) -> bytes:
    """A whole response. `length` where Content-Length is to be a lie, -1 for none."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def drip(text: bytes, seconds: float, at_once: bytes = b"") -> Parts:
    """The text byte by byte, a pause after each."""
    if at_once:
        yield at_once
    for position in range(len(text)):
        yield text[position : position + 1]
        yield seconds


def chunked(body: bytes, size: int = 1000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


class Quirks:
    """Listens from the moment it is made; `respond` may be exchanged between two requests.

    None: hangs up at once on everybody.
    """

    def __init__(
        self,
        respond: bytes | Callable[[Request], bytes | Parts] | None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = HOST,
        port: int = 0,
    ):
        self.respond = respond
        self.requests: list[Request] = []
        self._peers: list[tuple] = []
        self.server_names: list[str | None] = []
        self._tls = tls
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((host, port), backlog=128)
        self._address = self._listener.getsockname()
        self.port = self._address[1]
        self.origin = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> "Quirks":
        return self

    def __exit__(self, *_):
        # Whoever has not been accepted yet is counted first.
        _ = self.connections
        self._stopping.set()
        # shutdown wakes the thread that waits in accept; close alone would not.
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._listener.close()

    @property
    def connections(self) -> int:
        """How many connections there were so far, also those over which no request came.

        One more of our own shows that none is still waiting to be accepted: they come in order.
        """
        if not self._stopping.is_set():
            with socket.create_connection(self._address, timeout=5) as probe:
                mine = probe.getsockname()
                while mine not in self._peers:
                    time.sleep(0.001)
            self._peers.remove(mine)
        return len(self._peers)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The other side may hang up at any moment: that is what many tests are about.
        with contextlib.suppress(OSError, ValueError):
            try:
                if self.respond is None:
                    return
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
                with connection.makefile("rb") as reader:
                    while (request := self._read(reader)) and self._send(connection, request):
                        pass
            finally:
                self._open.discard(connection)
                connection.close()

    def _read(self, reader) -> Request | None:
        line = reader.readline()
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while line := reader.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        request = Request(method, target, headers, reader.read(int(headers.get("content-length", 0))))
        self.requests.append(request)
        return request

    def _send(self, connection: socket.socket, request: Request) -> bool:
        """Whether the connection stays open for another request."""
        parts = self.respond if isinstance(self.respond, bytes) else self.respond(request)
        keep = bool(parts)
        for part in [parts] if isinstance(parts, bytes) else parts:
            if isinstance(part, bytes):
                keep = keep and b"connection: close" not in part.lower()
                connection.sendall(part)
            elif self._stopping.wait(part):
                return False
        return keep


class Authority:
    """A certificate authority that nobody knows but who is given `bundle`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority for tests")])
        certificate = self._certificate(self._name, self._name, self._key, self._key, authority=True)
        self.bundle = folder / "authority.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *hosts: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        issuer, signer = (name, key) if self_signed else (self._name, self._key)
        certificate = self._certificate(name, issuer, key, signer, hosts=hosts, expired=expired)
        path = self._folder / f"{hosts[0]}-{expired}-{self_signed}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(self, name, issuer, key, signer, *, hosts=(), expired=False, authority=False):
        now = datetime.datetime.now(datetime.UTC)
        start, end = (-20, -10) if expired else (-1, 10)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=start))
            .not_valid_after(now + datetime.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
