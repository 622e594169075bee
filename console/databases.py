"""Sign in to a database server and leave: whether it lets a credential in.

As for requests of HTTP, an address that was checked is the address that is connected to, and there is one
deadline from the name look-up to the answer. Nothing of this machine's own (a password file, a client's
certificate) takes part.
"""

import math
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psycopg
import pymysql
from pymysql.constants import CR, ER
from requests.certs import where

from console import http, spans

SECONDS = 10.0
Mode = Literal["disable", "require", "verify-ca", "verify-full"]
# Yes and no, and the words of MySQL (its option --ssl-mode), as libpq names them.
TLS: dict[str, Mode] = {
    "false": "disable",
    "true": "verify-full",
    "DISABLED": "disable",
    "REQUIRED": "require",
    "VERIFY_CA": "verify-ca",
    "VERIFY_IDENTITY": "verify-full",
}


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    tls: Mode = "verify-full"
    # The certificate of an authority, PEM; blank: those that are known publicly.
    authority: str = ""


class Refused(Exception):
    """The server answered, and does not let this credential in. The text is the server's own."""

    def __init__(self, code: Literal["credential_rejected", "permission_missing"], said: str):
        super().__init__(said)
        self.code = code


def sign_in(protocol: Literal["postgresql", "mysql"], server: Server) -> None:
    """Raises Refused, http.Unreachable."""
    until = time.monotonic() + SECONDS
    addresses = http.reachable(server.host, server.port, SECONDS)
    with spans.span(f"sign in {server.host}", "CLIENT", **{"server.address": server.host}):
        {"postgresql": _postgresql, "mysql": _mysql}[protocol](server, addresses, until)


def left_of(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise http.Unreachable("timeout", "the deadline has passed")
    return left


@contextmanager
def _authority(server: Server) -> Iterator[str]:
    """A file of the certificates that may have signed the server's."""
    if not server.authority:
        yield where()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "authority.pem"
        path.write_text(server.authority, encoding="utf-8")
        yield str(path)


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────

# libpq puts two spaces behind the severity of what a server says, in whatever language it says it.
_SERVER_SAID = re.compile(r"failed: [^\s:]+:  (.*)", re.DOTALL)
_BUSY = re.compile(r"too many|connection slots|starting up|shutting down|recovery mode", re.IGNORECASE)


def _postgresql(server: Server, addresses: list[tuple[str, int]], until: float) -> None:
    with _authority(server) as bundle:
        verified = {"sslrootcert": bundle} if server.tls.startswith("verify") else {}
        try:
            psycopg.connect(
                host=",".join([server.host] * len(addresses)),
                # Then libpq looks nothing up, and compares the certificate with the name all the same.
                hostaddr=",".join(address for address, _ in addresses),
                port=addresses[0][1],
                dbname=server.database,
                user=server.username,
                password=server.password,
                sslmode=server.tls,
                sslcertmode="disable",
                gssencmode="disable",
                passfile=os.devnull,
                # For each address; psycopg counts it for all of the sign-in.
                connect_timeout=max(2, math.ceil(left_of(until) / len(addresses))),
                application_name="Partner Console",
                **verified,
            ).close()
        except psycopg.errors.ConnectionTimeout as error:
            raise http.Unreachable("timeout", "the deadline has passed") from error
        except psycopg.Error as error:
            raise _of_postgresql(error) from error


def _of_postgresql(error: psycopg.Error) -> Exception:
    """Before it has let somebody in, libpq tells no code of what a server said, only the text."""
    found = _SERVER_SAID.search(str(error))
    if not found:
        kind = "tls" if "SSL" in str(error) or "certificate" in str(error) else "connection"
        return http.Unreachable(kind, str(error).rpartition("failed: ")[2][:200])
    said = " ".join(found[1].split())[:200]
    if _BUSY.search(said):
        return http.Unreachable("busy", said)
    return Refused("permission_missing" if "permission denied" in said else "credential_rejected", said)


# ── MySQL and MariaDB ───────────────────────────────────────────────────────────────────────────

_REJECTED = {
    ER.ACCESS_DENIED_ERROR,
    ER.BAD_DB_ERROR,
    # Signs in by other means than a password; must change its password first; is locked.
    1698,
    ER.MUST_CHANGE_PASSWORD,
    1862,
    3118,
    4151,
}
_NOT_PERMITTED = {ER.DBACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED}


def _mysql(server: Server, addresses: list[tuple[str, int]], until: float) -> None:
    with _authority(server) as bundle, dialled(addresses, until) as sock:
        connection = pymysql.connect(
            host=server.host,
            user=server.username,
            password=server.password,
            database=server.database,
            ssl=_context(server.tls, bundle),
            ssl_disabled=server.tls == "disable",
            read_timeout=left_of(until),
            write_timeout=left_of(until),
            defer_connect=True,
        )
        try:
            connection.connect(sock)
            connection.close()
        except pymysql.err.MySQLError as error:
            raise _of_mysql(error, until) from error
        except Exception as error:
            # Of what is no MySQL at all: what its parser stumbles over is the other side's choice.
            raise http.Unreachable("connection", type(error).__name__) from error


def _context(mode: Mode, bundle: str) -> ssl.SSLContext | None:
    if mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except ssl.SSLError as error:
        raise http.Unreachable("tls", "the authority's certificate cannot be read") from error
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    return context


@contextmanager
def dialled(addresses: list[tuple[str, int]], until: float) -> Iterator[socket.socket]:
    """A connection that is cut when the deadline has passed: the libraries count from byte to byte."""
    failure: OSError | None = None
    for address in addresses:
        try:
            sock = socket.create_connection(address, timeout=min(http.CONNECT_SECONDS, left_of(until)))
            break
        except OSError as error:
            failure = error
    else:
        raise http.Unreachable("connection", type(failure).__name__) from failure
    # TLS takes the socket over, and its copy still ends the connection.
    with sock, sock.dup() as copy:
        timer = threading.Timer(left_of(until), _cut, (copy,))
        timer.start()
        try:
            yield sock
        finally:
            timer.cancel()


def _cut(sock: socket.socket) -> None:
    # It may have ended by itself.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _of_mysql(error: pymysql.err.MySQLError, until: float) -> Exception:
    code, said = (*error.args, "", "")[:2]
    said = " ".join(str(said).split())[:200]
    if code in _REJECTED:
        return Refused("credential_rejected", said)
    if code in _NOT_PERMITTED:
        return Refused("permission_missing", said)
    late = time.monotonic() >= until
    kind = (
        "timeout" if late else "tls" if code == CR.CR_SSL_CONNECTION_ERROR or "SSL" in said else "connection"
    )
    return http.Unreachable(kind, said)
