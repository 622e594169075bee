"""Whether a webhook comes from the provider: pure functions over what was received.

Everything here is somebody's claim until `verify` has returned; that a body is JSON is one as well.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.manifest.webhook import HmacSignature, Place, Timestamp, Webhook
from installations.values import at

# Unix time in seconds, up to the year 2286; more digits are no time.
_NUMBER = re.compile(r"[0-9]{1,13}")


class Refused(Exception):
    """It is not proven. `code` says why: a key of received.WHY."""

    def __init__(self, code: str):
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Incoming:
    """A request as it came: `url` is the address that was registered, `headers` do not care for case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def verify(webhook: Webhook, incoming: Incoming, secret: str, now: datetime) -> bytes:
    """What the provider has put its name to; with a shared token that is the body. Raises Refused."""
    signature = webhook.signature
    given = incoming.headers.get(signature.header, "")
    if not given or not secret:
        raise Refused("signature_missing")
    if signature.type == "token":
        if not hmac.compare_digest(given.encode(), secret.encode()):
            raise Refused("signature_wrong")
        return incoming.body
    signed_at = stamp(signature, incoming)
    signed = message(signature.signed, incoming, signed_at)
    expected = _encoded(hmac.digest(secret.encode(), signed, "sha256"), signature.encoding)
    # All of them are compared, so that nothing is to be learnt from how long it took.
    same = [hmac.compare_digest(each.encode(), expected) for each in _given(signature, given)]
    if not any(same):
        raise Refused("signature_wrong")
    if signature.timestamp:
        _check_age(signature.timestamp, signed_at, now)
    return signed


def sign(webhook: Webhook, incoming: Incoming, secret: str, signed_at: str = "") -> str:
    """The signature itself, without what stands around it in the header. For senders: samples and tests."""
    signed = message(webhook.signature.signed, incoming, signed_at)
    return _encoded(hmac.digest(secret.encode(), signed, "sha256"), webhook.signature.encoding).decode()


def message(template: str, incoming: Incoming, signed_at: str) -> bytes:
    """What is signed: the template, filled with what came."""
    values = {
        "body": incoming.body,
        "timestamp": signed_at.encode(),
        "url": incoming.url.encode(),
        "method": incoming.method.encode(),
    }
    # Literal text and names by turns.
    parts = re.split(r"\$\{([a-z]+)\}", template)
    return b"".join(values[part] if index % 2 else part.encode() for index, part in enumerate(parts))


def found(place: Place | None, incoming: Incoming, content: Any) -> str:
    """What stands at this place, as one line of printable text; "" where there is none.

    A header is not signed: what it says is the sender's word alone.
    """
    if place is None:
        return ""
    value = incoming.headers.get(place.header, "") if place.header else at(content, place.path)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return "".join(char for char in str(value) if char.isprintable())


def read_json(body: bytes) -> Any:
    """The body as JSON, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _encoded(digest: bytes, encoding: str) -> bytes:
    return digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)


def _pairs(header: str) -> list[tuple[str, str]]:
    """t=1492774577,v1=5257a869: what has a name there, in order."""
    pairs = (part.strip().partition("=") for part in header.split(","))
    return [(name, value) for name, _, value in pairs]


def _given(signature: HmacSignature, header: str) -> list[str]:
    """The signatures in the header: several while the provider changes from one secret to another."""
    values = [value for name, value in _pairs(header) if name == signature.key] if signature.key else [header]
    prefix = signature.prefix
    return [value.removeprefix(prefix) for value in values if value.startswith(prefix)]


def stamp(signature: HmacSignature, incoming: Incoming) -> str:
    """The time as it was signed, not read yet; "" where there is none. Raises Refused."""
    place = signature.timestamp
    if place is None:
        return ""
    if place.key:
        values = [value for name, value in _pairs(incoming.headers[signature.header]) if name == place.key]
        text = values[0] if len(values) == 1 else ""
    elif place.header:
        text = incoming.headers.get(place.header, "")
    else:
        value = at(read_json(incoming.body), place.path)
        text = str(value) if isinstance(value, str | int) else ""
    if not text:
        raise Refused("timestamp_missing")
    return text


def _check_age(timestamp: Timestamp, text: str, now: datetime) -> None:
    signed_at = _time(timestamp.form, text)
    if signed_at is None:
        raise Refused("timestamp_missing")
    if abs((now - signed_at).total_seconds()) > timestamp.tolerance_seconds:
        raise Refused("timestamp_old")


def _time(form: str, text: str) -> datetime | None:
    if form == "iso8601":
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            return None
        return read if read.tzinfo else None
    if not _NUMBER.fullmatch(text):
        return None
    seconds = int(text) / (1000 if form == "milliseconds" else 1)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
