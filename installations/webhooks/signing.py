"""Secrets and signatures (Standard Webhooks, "Signature scheme": www.standardwebhooks.com)."""

import base64
import hmac
import secrets

PREFIX = "whsec_"
# Of 24 to 64 that are allowed.
SECRET_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(message_id: str, at: int, body: bytes, keys: list[str]) -> dict[str, str]:
    """What says who sent it and when: one signature for each secret. `at` is in seconds."""
    signed = f"{message_id}.{at}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{_mac(key, signed)}" for key in keys),
    }


def _mac(key: str, signed: bytes) -> str:
    return base64.b64encode(
        hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), signed, "sha256")
    ).decode()
