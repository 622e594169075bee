"""The provider's answer as the caller gets it: unchanged, but for what would work on us instead of on it."""

import errno

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from console.http import Unreachable
from console.problems import ProblemError
from console.streams import Answer
from installations.proxying.asked import HOP_BY_HOP, IDLE_SECONDS
from installations.proxying.calling import Room

# A body of this size is read before the answer begins, so that one that breaks off is told as such.
READ_AT_ONCE = 64 * 1024

_DROPPED = HOP_BY_HOP | {
    # Framed anew.
    "content-length",
    # The server in front of the console and the server that it runs in say these.
    "date",
    "server",
    "x-request-id",
    # They would be about our own address: its cookies, its storage, its other pages, its certificates.
    "set-cookie",
    "set-cookie2",
    "clear-site-data",
    "service-worker-allowed",
    "content-security-policy",
    "content-security-policy-report-only",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "x-frame-options",
    "x-content-type-options",
    "x-xss-protection",
    "x-robots-tag",
    "strict-transport-security",
    "expect-ct",
    "public-key-pins",
    "public-key-pins-report-only",
    "alt-svc",
    "nel",
    "report-to",
    "reporting-endpoints",
    "refresh",
    "timing-allow-origin",
    "origin-agent-cluster",
    # Orders to the web server or the cache in front of us.
    "x-sendfile",
    "x-lighttpd-send-file",
    "x-reproxy-url",
    "surrogate-control",
    "surrogate-key",
    "cdn-cache-control",
}
_DROPPED_BEGIN = ("access-control-", "x-accel-", "proxy-", "cloudflare-cdn-", "x-litespeed-")
# What no browser runs.
_HARMLESS = ("application/json", "text/plain", "text/csv", "image/png", "image/jpeg", "image/gif")
_SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"


def answered(request, answer: Answer, room: Room) -> HttpResponseBase:
    """Raises ProblemError where a short body breaks off. The room is left when the body has been sent."""
    if answer.length is not None and answer.length <= READ_AT_ONCE:
        try:
            response = HttpResponse(answer.read())
        except Unreachable as error:
            code = "provider_timeout" if error.kind == "timeout" else "provider_unavailable"
            raise ProblemError(code, words=str(error)) from error
        finally:
            room.leave()
    else:
        response = StreamingHttpResponse(_Body(answer, room, request.META.get("gunicorn.socket")))
        # nginx would hold it back.
        response.headers["X-Accel-Buffering"] = "no"
        if answer.length is not None:
            response.headers["Content-Length"] = str(answer.length)
    response.status_code = answer.status
    response.reason_phrase = answer.reason
    _set_headers(response, answer)
    length = answer.header("Content-Length")
    if length and (request.method == "HEAD" or answer.status == 304):
        # How long it would be.
        response.headers["Content-Length"] = length
    return response


def _set_headers(response: HttpResponseBase, answer: Answer) -> None:
    del response.headers["Content-Type"]
    named = {name.strip().lower() for name in answer.header("Connection").split(",")}
    for name, value in answer.headers:
        lower = name.lower()
        if lower in _DROPPED or lower in named or lower.startswith(_DROPPED_BEGIN):
            continue
        # Several of a name are one with commas (RFC 9110, section 5.3).
        before = response.headers.get(name)
        response.headers[name] = value if before is None else f"{before}, {value}"
    # RFC 9110, section 7.6.3; what the console says itself has none.
    via = response.headers.get("Via")
    response.headers["Via"] = f"{via}, 1.1 Partner-Console" if via else "1.1 Partner-Console"
    response.headers["Content-Security-Policy"] = _SANDBOX
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = _private(response.headers.get("Cache-Control", ""))
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in _HARMLESS and not media_type.endswith("+json"):
        response.headers.setdefault("Content-Disposition", "attachment")


def _private(text: str) -> str:
    """For the caller alone: a cache that many share would give it to whoever asks next."""
    if not text:
        return "no-store"
    shared = ("public", "private", "s-maxage", "proxy-revalidate", "")
    parts = [part.strip() for part in text.split(",")]
    kept = [part for part in parts if part.partition("=")[0].lower() not in shared]
    return ", ".join(["private", *kept])


class _Body:
    """The rest of an answer, on its way. Whoever stops reading hangs up, and leaves the room."""

    def __init__(self, answer: Answer, room: Room, sock):
        self._answer, self._room, self._sock = answer, room, sock

    def __iter__(self):
        if self._sock is not None:
            # A caller that reads nothing is not waited for longer.
            self._sock.settimeout(IDLE_SECONDS)
        try:
            yield from self._answer
        except Unreachable as error:
            # The status has been sent: that the answer is not whole can only be shown by hanging up.
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error
        finally:
            self.close()

    def close(self) -> None:
        self._answer.close()
        self._room.leave()

    def __del__(self):
        self.close()
