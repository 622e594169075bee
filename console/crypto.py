"""The only cipher: seal and open, bound to the place where the value is stored.

AES-256-CBC with encrypt-then-MAC comes from django-cryptography's FernetBytes; the MAC is ours,
because the package's own signer takes its key from SECRET_KEY and covers the ciphertext alone.
HMAC-SHA256 here covers the context (table, column, partner, row), the key id and the ciphertext, so
a sealed value that is moved to another row, column or partner does not open.
"""

import hmac
import json
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

VERSION = b"\x01"
MAC_SIZE = sha256().digest_size


class CannotOpen(Exception):
    """The sealed bytes are damaged, belong elsewhere, or their key is not in the ring."""


class Context(NamedTuple):
    """Where a sealed value lives. All four are text; ids are UUIDs in their usual form."""

    table: str
    column: str
    partner: str
    row: str

    def encode(self) -> bytes:
        # Length before value: no two different contexts give the same bytes.
        return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in self)


class _BoundSigner:
    """The signer that FernetBytes calls, its MAC covering the context besides the ciphertext."""

    def __init__(self, mac_key: bytes, associated: bytes):
        self._mac_key = mac_key
        self._associated = len(associated).to_bytes(4, "big") + associated

    def _mac(self, value: bytes) -> bytes:
        return hmac.digest(self._mac_key, self._associated + value, "sha256")

    def sign(self, value: bytes, current_time: int | None = None) -> bytes:
        return value + self._mac(value)

    def unsign(self, value: bytes, ttl: int | None = None) -> bytes:
        payload, mac = value[:-MAC_SIZE], value[-MAC_SIZE:]
        # An IV and one block at least; shorter input would reach the cipher as garbage.
        if len(payload) < 32 or not hmac.compare_digest(mac, self._mac(payload)):
            raise InvalidToken
        return payload


@cache
def _derive(master: bytes) -> tuple[bytes, bytes]:
    """One master key gives an AES and a MAC key, independent of each other (RFC 5869)."""

    def expand(info: bytes) -> bytes:
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(master)

    return expand(b"partner-console/seal/aes"), expand(b"partner-console/seal/mac")


def _fernet(key_id: str, context: Context) -> FernetBytes:
    aes_key, mac_key = _derive(settings.ENCRYPTION_KEYS[key_id])
    associated = VERSION + key_id.encode() + b"\x00" + context.encode()
    return FernetBytes(aes_key, signer=_BoundSigner(mac_key, associated))


def seal(value: Any, context: Context) -> bytes:
    """Seal a JSON-able value with the first key of the ring."""
    key_id = next(iter(settings.ENCRYPTION_KEYS))
    body = _fernet(key_id, context).encrypt(json.dumps(value, separators=(",", ":")).encode())
    return head() + body


def head() -> bytes:
    """What everything that is sealed now begins with: the version and the first key's id."""
    key_id = next(iter(settings.ENCRYPTION_KEYS))
    return VERSION + bytes([len(key_id)]) + key_id.encode()


def key_id_of(sealed: bytes) -> str:
    """The id of the key that sealed these bytes. Raises CannotOpen where there is none."""
    if sealed[:1] != VERSION or len(sealed) < 3:
        raise CannotOpen("not a sealed value")
    return sealed[2 : 2 + sealed[1]].decode("latin-1")


def unseal(sealed: bytes, context: Context) -> Any:
    """Open what `seal` made for the same context. Raises CannotOpen."""
    key_id = key_id_of(sealed)
    if key_id not in settings.ENCRYPTION_KEYS:
        raise CannotOpen(f"sealed with the key {key_id!r}, which is not in ENCRYPTION_KEYS")
    try:
        return json.loads(_fernet(key_id, context).decrypt(sealed[2 + len(key_id) :]))
    except (InvalidToken, ValueError):
        raise CannotOpen("damaged, or moved from another place") from None


def digest(token: str) -> str:
    """SHA-256 of a token of at least 128 random bits, which needs no salt; 64 hex characters."""
    return sha256(token.encode()).hexdigest()


def digest_of(content: bytes) -> str:
    """SHA-256 of what somebody sent; 64 hex characters."""
    return sha256(content).hexdigest()
