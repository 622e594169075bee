"""Who calls the API: an API key in the Authorization header (RFC 6750, section 2.1)."""

import time
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from console import throttle
from console.compiled import Compiled
from console.middleware import client_address, network_of
from console.models import ApiKey
from console.models.api_key import prefix_of
from console.problems import ProblemError
from console.tenancy import Principal

# What one network may try of keys that nobody has. A key that was good a while ago is not asked this.
UNKNOWN_PER_MINUTE = 300
_seen_good: dict[str, float] = {}


class Scope(HttpBearer):
    """Let in whoever sends a key with this scope, and set `request.principal`."""

    openapi_bearerFormat = "pc_live_… or pc_test_…"  # noqa: N815 - the name is the library's

    def __init__(self, scope: str):
        super().__init__()
        self.scope = scope

    def __call__(self, request: HttpRequest) -> Principal:
        return authenticate(request, self.scope)

    def authenticate(self, request, token):
        raise NotImplementedError  # never asked: __call__ reads the header itself


def authenticate(request: HttpRequest, scope: str) -> Principal:
    """The principal of the request's key. Raises ProblemError for what stands in the way.

    Costs one query; what has not the form of a key costs none.
    """
    kind, _, written = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer" or not written:
        raise ProblemError("key_missing")
    prefix = prefix_of(written)
    if not prefix:
        raise ProblemError("key_malformed")
    address = client_address(request)
    if not _was_good(prefix) and throttle.is_spent(_guesses(address), per_minute=UNKNOWN_PER_MINUTE):
        raise ProblemError("too_many_tries", retry_after=timedelta(seconds=throttle.seconds_left()))
    now = timezone.now()
    key = _find(prefix)
    if key is None or not key.is_written(written, now):
        throttle.spend(_guesses(address), per_minute=UNKNOWN_PER_MINUTE)
        raise ProblemError("key_unknown")
    _seen_good[prefix] = time.monotonic()
    _refuse(key, address, now)
    _count(request, key)
    if not key.may(scope):
        raise ProblemError("scope_missing", words=f"it needs the scope {scope}")
    _note_use(key, now)
    request.api_key, request.principal = key, key.principal()
    return request.principal


def _guesses(address: str) -> str:
    return f"api-keys from:{network_of(address)}"


def _was_good(prefix: str) -> bool:
    if time.monotonic() - _seen_good.get(prefix, -3600.0) < 600.0:
        return True
    _seen_good.pop(prefix, None)
    return False


_COLUMNS = [field.attname for field in ApiKey._meta.concrete_fields]
_question = Compiled(
    lambda prefix: (
        ApiKey.objects.filter(prefix=prefix).order_by().values_list(*_COLUMNS, "partner__is_active")
    ),
    "a prefix that none has",
)


def _find(prefix: str) -> ApiKey | None:
    row = _question.first(prefix)
    if row is None:
        return None
    key = ApiKey.from_db(None, _COLUMNS, row[:-1])
    key.partner_is_active = row[-1]
    return key


def _refuse(key: ApiKey, address: str, now) -> None:
    if key.revoked_at:
        raise ProblemError("key_revoked")
    if key.expires_at and key.expires_at <= now:
        raise ProblemError("key_expired")
    if not key.partner_is_active:
        raise ProblemError("partner_disabled")
    if not key.is_let_in_from(address):
        raise ProblemError("network_refused", words=f"it came from {address}")


def _count(request: HttpRequest, key: ApiKey) -> None:
    """draft-ietf-httpapi-ratelimit-headers: the middleware sends what is noted here."""
    limit = settings.API_CALLS_PER_MINUTE
    left = limit - throttle.count(f"api-key:{key.pk}")
    request.rate = (limit, max(left, 0), throttle.seconds_left())
    if left < 0:
        raise ProblemError("too_many_calls", retry_after=timedelta(seconds=request.rate[2]))


def _note_use(key: ApiKey, now) -> None:
    # A database that is read-only or busy still answers.
    with suppress(DatabaseError):
        key.used(now)


@lru_cache
def scope(name: str) -> Scope:
    """One for each: the library describes each once."""
    return Scope(name)
