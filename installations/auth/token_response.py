"""Read what a token endpoint answers, with the liberties that providers take.

RFC 6749, section 5.1 and 5.2. One parser for every grant.
"""

import json
import math
import re
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from connectors.manifest.auth_methods import TokenResponse
from console.problems import hide
from installations.auth.token import Token
from installations.values import at

TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_LIFETIME_LIMIT = timedelta(days=3650)


class TokenError(Exception):
    """The token endpoint gave no token.

    `code` is a code of console.problems; `words` are the provider's own, shortened.
    """

    def __init__(self, code: str, words: str = ""):
        super().__init__(code)
        self.code = code
        self.words = words[:200]
        # What the provider asks to wait, if it does.
        self.retry_after: timedelta | None = None
        self.is_ours = False
        # The request was sent and its answer never came: the provider may have done what it asks for.
        self.is_unknown = False


def parse(
    status: int,
    body: bytes,
    shape: TokenResponse,
    *,
    requested_at: datetime,
    secrets: tuple[str, ...] = (),
    wanted: tuple[str, ...] = (),
) -> Token:
    """The token in an answer. Raises TokenError.

    `shape` says where this provider puts what. `requested_at` is when the request was sent: a lifetime
    counts from there, not from the arrival. `secrets` are what the request held; an answer that repeats
    them does not bring them any further. `wanted` are further places whose texts the manifest asks for.
    """
    data = fields(body)
    error = at(data, shape.error)
    if shape.ok and at(data, shape.ok) is False:
        error = error or "unknown_error"
    if status not in (200, 201) or error:
        other = shape.error_codes.get("*", error) if status < 500 and status != 429 else error
        code = shape.error_codes.get(str(error), other)
        raise TokenError(_classify(status, code), hide(_words(status, data, error), *secrets))
    access_token = at(data, shape.access_token)
    if not isinstance(access_token, str) or not access_token.strip():
        raise TokenError("provider_answer_unreadable", "the answer holds no access_token")
    # RFC 6749, appendix A.12: printable ASCII. Anything else cannot be put into a header.
    if not re.fullmatch(r"[\x20-\x7e]+", access_token):
        raise TokenError("provider_answer_unreadable", "the access_token has characters that no token has")
    refresh_token = at(data, shape.refresh_token)
    refresh_expires_in = at(data, shape.refresh_expires_in) if shape.refresh_expires_in else None
    lifetime = at(data, shape.expires_in)
    return Token(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
        token_type=str(data.get("token_type") or "bearer"),
        granted_scopes=_scopes(at(data, shape.scope), (*secrets, access_token)),
        expires_at=_expires_at(shape.default_expires_in if lifetime is None else lifetime, requested_at),
        refresh_expires_at=_expires_at(refresh_expires_in, requested_at),
        extra={path: text for path in wanted if isinstance(text := at(data, path), str)},
    )


class _DoubledError(Exception):
    """A member came twice, which RFC 6749, section 3.2, forbids: no telling which one is meant."""


def _once(pairs: list[tuple[str, object]]) -> dict:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DoubledError
    return members


def fields(body: bytes) -> dict:
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
    if error in ("invalid_grant", "invalid_client", "redirect_uri_mismatch"):
        return str(error)
    if status in TRANSIENT_STATUSES or error in ("server_error", "temporarily_unavailable"):
        return "provider_unavailable"
    if error:
        return "configuration_refused"
    return "invalid_client" if status == 401 else "provider_answer_unreadable"


def _words(status: int, data: dict, error: object) -> str:
    parts = (error, data.get("error_description"), data.get("message"))
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
