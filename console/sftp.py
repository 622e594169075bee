"""Sign in to an SFTP server and leave: whether it lets a credential in.

The rule of addresses and the deadline are those of console/databases.py. Nothing of this machine's own (its
keys, its agent, its configuration) takes part. Whose server it is nobody can tell: there is no authority that
signs for one (RFC 4251, section 4.1), and the first connection has nothing to compare its key with.
"""

import asyncio
import time
from dataclasses import dataclass, field

import asyncssh

from console import http, spans
from console.databases import SECONDS, Refused, dialled, left_of


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    username: str
    # One of the two is blank.
    password: str = field(default="", repr=False)
    # PEM, and what it is encrypted with, if it is.
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


def sign_in(server: Server) -> None:
    """Raises Refused, http.Unreachable."""
    until = time.monotonic() + SECONDS
    means = _means(server)
    addresses = http.reachable(server.host, server.port, SECONDS)
    with (
        spans.span(f"sign in {server.host}", "CLIENT", **{"server.address": server.host}),
        dialled(addresses, until) as sock,
    ):
        try:
            asyncio.run(asyncio.wait_for(_signed_in(server, sock, means), left_of(until)))
        except asyncssh.PermissionDenied as error:
            raise Refused("credential_rejected", _said(error)) from error
        except (asyncssh.ChannelOpenError, asyncssh.SFTPError) as error:
            # Let in, but not to files.
            raise Refused("permission_missing", _said(error)) from error
        except (TimeoutError, asyncssh.Error, OSError, ValueError) as error:
            kind = "timeout" if isinstance(error, TimeoutError) else "connection"
            raise http.Unreachable(kind, type(error).__name__) from error


def _means(server: Server) -> dict:
    """What to sign in with. Raises Refused where the key cannot be opened."""
    if not server.private_key:
        return {"password": server.password, "preferred_auth": "password,keyboard-interactive"}
    try:
        key = asyncssh.import_private_key(server.private_key, server.passphrase or None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        said = "The private key cannot be read with this passphrase."
        raise Refused("credential_rejected", said) from error
    return {"client_keys": [key], "preferred_auth": "publickey"}


async def _signed_in(server: Server, sock, means: dict) -> None:
    options = {"known_hosts": None, "config": None, "agent_path": None, "x509_trusted_certs": None}
    connection = await asyncssh.connect(
        server.host,
        server.port,
        sock=sock,
        username=server.username,
        **{"client_keys": None, **options, **means},
    )
    async with connection, connection.start_sftp_client():
        pass


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
