"""The key ring's format. Imported by the settings, so it imports nothing of Django."""

import base64
import binascii
import os
import re
import sys

EXAMPLE = "k1:REPLACE-ME"


class BadKeyRing(SystemExit):
    """The process must not start: there is no fallback to plaintext and none to SECRET_KEY."""

    def __init__(self, why: str):
        super().__init__(
            f"ENCRYPTION_KEYS {why}.\n"
            "It must be one or more of ID:KEY, separated by commas; the first one seals, all open.\n"
            "Make a key:  python -c \"import os,base64; print('k1:' + "
            'base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        )


def parse_ring(text: str, *, secret_key: str) -> dict[str, bytes]:
    """Read "k2:base64,k1:base64" into {"k2": 32 bytes, "k1": 32 bytes}, order kept.

    Raises BadKeyRing (a SystemExit) where a key is missing, malformed, of another length than 32
    bytes, repeated, without entropy, or the same as SECRET_KEY.
    """
    if not text.strip():
        raise BadKeyRing("is missing")
    if EXAMPLE in text:
        raise BadKeyRing("is still the example")
    ring: dict[str, bytes] = {}
    for entry in text.split(","):
        key_id, _, encoded = entry.strip().partition(":")
        if not re.fullmatch(r"[a-z0-9]{1,8}", key_id):
            raise BadKeyRing("has an ID that is not 1 to 8 lower-case letters or digits")
        try:
            key = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise BadKeyRing(f"has a key {key_id} that is not base64") from None
        if len(key) != 32:
            raise BadKeyRing(f"has a key {key_id} of {len(key)} bytes; it must be 32")
        if len(set(key)) < 10:
            raise BadKeyRing(f"has a key {key_id} that is not random")
        if key_id in ring or key in ring.values():
            raise BadKeyRing(f"has the key {key_id} twice")
        if encoded.rstrip("=") in secret_key or key.decode("latin-1") in secret_key:
            raise BadKeyRing("is the same as SECRET_KEY; each needs its own")
        ring[key_id] = key
    return ring


def fresh_env() -> str:
    """The text of a .env for a developer's machine, with keys that no other machine has."""

    def key() -> str:
        return base64.urlsafe_b64encode(os.urandom(32)).decode()

    return f"SECRET_KEY={key()}{key()}\nENCRYPTION_KEYS=k1:{key()}\nDEVELOPMENT=1\n"


if __name__ == "__main__":
    sys.stdout.write(fresh_env())
