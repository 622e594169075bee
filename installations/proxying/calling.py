"""Send what a caller asks for to the provider, with the installation's credential.

A call is sent once. It is sent again where the provider refuses the token and a new one can be had, and, for
what changes nothing, where a connection that had waited was dead, or where the caller asks for retries.
"""

import random
import time
from collections import Counter
from datetime import timedelta
from threading import Lock
from urllib.parse import unquote_plus, urlsplit
from uuid import UUID

from django.conf import settings

from console import clock, retry_after, streams
from console.http import Unreachable
from console.problems import ProblemError
from installations import circuits
from installations.auth import NOT_HELD, can_renew, signed
from installations.proxying.asked import SAFE, Asked, Body
from installations.proxying.found import Found
from installations.values import BadValue

# What a provider, or what stands before it, says of a passing fault of its own; and of a caller's haste.
DOWN, BUSY = {502, 503, 504}, {429}
# A caller that wants to wait longer can do so itself, and needs no thread of ours for that.
WAIT_SECONDS = 5.0


class Room:
    """A place among the calls under way in this process.

    Few for one installation, and of all three in four for one partner, whose slow provider so leaves some to
    others.
    """

    _lock = Lock()
    # By partner and installation.
    _under_way: Counter = Counter()

    def __init__(self, partner_id: UUID, installation_id: UUID):
        """Raises ProblemError where there is none."""
        self._id, self._is_taken = (partner_id, installation_id), False
        with self._lock:
            of_partner = sum(count for (whose, _), count in self._under_way.items() if whose == partner_id)
            if (
                self._under_way[self._id] >= settings.PROXY_AT_ONCE_TO_ONE
                or of_partner >= max(settings.PROXY_AT_ONCE * 3 // 4, 1)
                or self._under_way.total() >= settings.PROXY_AT_ONCE
            ):
                raise ProblemError("too_many_under_way", retry_after=timedelta(seconds=1))
            self._under_way[self._id] += 1
            self._is_taken = True

    def leave(self) -> None:
        with self._lock:
            if self._is_taken:
                self._is_taken = False
                self._under_way[self._id] -= 1
                if not self._under_way[self._id]:
                    del self._under_way[self._id]


def call(found: Found, asked: Asked) -> streams.Answer:
    """The provider's answer, its body still to come. Raises ProblemError, asked.CallerGone."""
    answer = _retried(found, asked)
    if answer.status == 401 and can_renew(found.plan.method, found.token):
        renewed = found.renewed()
        if renewed and asked.is_repeatable:
            answer.close()
            answer = _retried(renewed, asked)
    return answer


def _retried(found: Found, asked: Asked) -> streams.Answer:
    left = (asked.retries or 0) if asked.method in SAFE and asked.is_repeatable else 0
    tries, waited = 0, 0.0
    while True:
        answer = None
        try:
            answer = _once(found, asked)
            if tries >= left or answer.status not in DOWN | BUSY:
                return answer
            seconds = _pause(tries, answer)
        except ProblemError as error:
            if tries >= left or error.code != "provider_unavailable" or error.retry_after:
                raise
            seconds = _pause(tries)
        if answer:
            if waited + seconds > WAIT_SECONDS:
                return answer
            answer.close()
        tries, waited = tries + 1, waited + seconds
        time.sleep(seconds)


def _pause(tries: int, answer: streams.Answer | None = None) -> float:
    """Seconds until the next try: as many as the provider says, else more each time and never all at once."""
    said = answer and answer.header("Retry-After")
    asked = retry_after.parse(said, clock.now()) if said else None
    if asked is not None:
        return asked.total_seconds()
    return 0.25 * 2**tries * random.uniform(0.5, 1.5)  # noqa: S311


def _once(found: Found, asked: Asked) -> streams.Answer:
    """Raises ProblemError."""
    body = asked.body
    try:
        base_url, values = found.filled()
        if isinstance(body, Body) and _wants_all_of_it(found, asked):
            body = asked.body = body.hold()
        url, headers, written = _signed(found, asked, base_url, values)
        body = body if written is NOT_HELD else written
    except BadValue as error:
        raise ProblemError("value_unusable", words=str(error)) from error
    length = body.length if isinstance(body, Body) else None if body is None else len(body)
    chunked = isinstance(body, Body) and length is None
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    elif length is not None:
        headers["Content-Length"] = str(length)
    elif asked.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = "0"
    again = asked.method in SAFE and asked.is_repeatable
    asked.sent = (found, url, headers)
    place = _enter(found, url)
    try:
        answer = streams.send(asked.method, url, headers.items(), body, chunked=chunked, again=again)
    except Unreachable as error:
        if error.kind in ("timeout", "connection", "dns"):
            _failed(place)
        code = "provider_timeout" if error.kind == "timeout" else "provider_unavailable"
        raise ProblemError(code, words=str(error)) from error
    except ValueError as error:
        raise ProblemError("value_unusable", words="a value that is no header") from error
    _failed(place) if answer.status in DOWN else _succeeded(place)
    return answer


def _wants_all_of_it(found: Found, asked: Asked) -> bool:
    """Whether the credential goes into the body, or a signature over it (RFC 5849, section 3.4.1.3.1)."""
    if found.plan.method.inject.body:
        return True
    is_form = asked.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return found.plan.method.type in ("oauth1", "oauth1_redirection") and is_form


def _signed(found: Found, asked: Asked, base_url: str, values: dict) -> tuple[str, dict[str, str], object]:
    method, headers = found.plan.method, dict(asked.headers)
    taken = {name.lower() for name in (*method.inject.headers, *_OF_SIGNATURES.get(method.type, ()))}
    for name in [name for name in headers if name.lower() in taken]:
        del headers[name]
    _check_query(asked.query, method)
    if asked.body is None:
        # A type of nothing; and to OAuth 1.0 a form that is signed.
        headers.pop("Content-Type", None)
    headers.setdefault("Accept-Encoding", "identity")
    headers.setdefault("User-Agent", "Partner-Console")
    url = base_url.rstrip("/") + (f"/{asked.path}" if asked.path else "")
    url += f"?{asked.query}" if asked.query else ""
    held = NOT_HELD if isinstance(asked.body, Body) else asked.body
    return signed(method, values, asked.method, url, headers, held)


_OF_SIGNATURES = {"aws_signature": ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token")}


def _check_query(query: str, method) -> None:
    """Raises ProblemError where it names what the credential itself says."""
    if not query:
        return
    taken = {name.lower() for name in method.inject.query}
    begins = {"oauth1": "oauth_", "oauth1_redirection": "oauth_", "aws_signature": "x-amz-"}.get(method.type)
    for pair in query.replace(";", "&").split("&"):
        name = unquote_plus(pair.partition("=")[0]).strip("\0 \t\r\n").partition("[")[0].lower()
        if name in taken or (begins and name.startswith(begins)):
            raise ProblemError("proxy_request_refused", words=f"{name} is the credential's")


# ── a provider that is down ─────────────────────────────────────────────────────────────────────

# Whose circuit this process has seen fail: only these are looked up.
_doubtful: set[tuple] = set()


def _enter(found: Found, url: str) -> tuple:
    """By host: one customer's own server says nothing about another's. Raises ProblemError."""
    place = (found.fresh.partner_id, f"{found.fresh.connector} {urlsplit(url).hostname}"[:100])
    if place in _doubtful:
        try:
            circuits.enter(*place)
        except circuits.Open as error:
            raise ProblemError("provider_unavailable", retry_after=error.after) from None
    return place


def _failed(place: tuple) -> None:
    _doubtful.add(place)
    circuits.failed(*place, "provider_unavailable")


def _succeeded(place: tuple) -> None:
    if place in _doubtful:
        _doubtful.discard(place)
        circuits.succeeded(*place)
