"""Read what a token endpoint answers, with the liberties that providers take.

RFC 6749, section 5.1 and 5.2. One parser for every grant.
"""

import json
import math
import re
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from console.problems import hide
from installations.auth.token import Token

TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
# GitHub answers these with status 200 (docs.github.com, "Troubleshooting OAuth app access token
# request errors").
_KNOWN_ALIASES = {
    "bad_verification_code": "invalid_grant",
    "incorrect_client_credentials": "invalid_client",
    "redirect_uri_mismatch": "redirect_uri_mismatch",
}
_LIFETIME_LIMIT = timedelta(days=3650)


class TokenError(Exception):
    """The token endpoint gave no token.

    `code` is a code of console.problems; `words` are the provider's own, shortened.
    """

    def __init__(self, code: str, words: str = ""):
        super().__init__(code)
        self.code = code
        self.words = words[:200]


def parse(status: int, body: bytes, *, requested_at: datetime, secrets: tuple[str, ...] = ()) -> Token:
    """The token in an answer. Raises TokenError.

    `requested_at` is when the request was sent: a lifetime counts from there, not from the arrival.
    `secrets` are what the request held; an answer that repeats them does not bring them any further.
    """
    data = _fields(body)
    error = data.get("error") or (status == 200 and data.get("ok") is False and "unknown_error")
    if status != 200 or error:
        raise TokenError(_classify(status, error), hide(_words(status, data), *secrets))
    access_token = data.get("access_token")
    if not isinstance(access_token, str) or not access_token.strip():
        raise TokenError("provider_answer_unreadable", "the answer holds no access_token")
    # RFC 6749, appendix A.12: printable ASCII. Anything else cannot be put into a header.
    if not re.fullmatch(r"[\x20-\x7e]+", access_token):
        raise TokenError("provider_answer_unreadable", "the access_token has characters that no token has")
    refresh_token = data.get("refresh_token")
    return Token(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
        token_type=str(data.get("token_type") or "bearer"),
        granted_scopes=_scopes(data.get("scope"), (*secrets, access_token)),
        expires_at=_expires_at(data.get("expires_in"), requested_at),
    )


class _DoubledError(Exception):
    """A member came twice, which RFC 6749, section 3.2, forbids: no telling which one is meant."""


def _once(pairs: list[tuple[str, object]]) -> dict:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DoubledError
    return members


def _fields(body: bytes) -> dict:
    """The members of a JSON object, or the pairs of a form; {} for anything else."""
    try:
        text = body.decode("utf-8-sig").strip()
        try:
            data = json.loads(text, object_pairs_hook=_once)
        except ValueError:
            # GitHub and other older providers answer with a form unless they are asked for JSON.
            looks_like_form = "=" in text and not text.startswith(("<", "{", "["))
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=50) if looks_like_form else []
            data = _once(pairs)
    except (ValueError, RecursionError, _DoubledError):
        return {}
    return data if isinstance(data, dict) else {}


def _classify(status: int, error: object) -> str:
    """Whose fault it is. The error code decides where there is one, the status otherwise."""
    code = _KNOWN_ALIASES.get(str(error), error)
    if code in ("invalid_grant", "invalid_client", "redirect_uri_mismatch"):
        return code
    if status in TRANSIENT_STATUSES or code in ("server_error", "temporarily_unavailable"):
        return "provider_unavailable"
    if error:
        return "configuration_refused"
    return "invalid_client" if status == 401 else "provider_answer_unreadable"


def _words(status: int, data: dict) -> str:
    parts = (data.get(key) for key in ("error", "error_description", "message"))
    return f"status {status}: " + " · ".join(part for part in parts if isinstance(part, str))


def _scopes(value: object, secrets: tuple[str, ...]) -> tuple[str, ...] | None:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return None
    # RFC 6749, section 3.3: what has other characters is no scope.
    found = value.replace(",", " ").split()
    scopes = tuple(scope for scope in found if re.fullmatch(r"[\x21-\x7e]+", scope))
    # They are kept in clear: what repeats a secret is none of them.
    return tuple(scope for scope in scopes if hide(scope, *secrets) == scope)


def _expires_at(value: object, requested_at: datetime) -> datetime | None:
    """None where the lifetime is missing or nonsense: unknown, never "forever fresh"."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(seconds) or seconds <= 0 or seconds > _LIFETIME_LIMIT.total_seconds():
        return None
    return requested_at + timedelta(seconds=int(seconds))
