"""What a caller asks of a provider: read from its request to us, without what is none of its business.

Trust changes hands here. The host, the credential and the framing of the message are ours to say, and what a
provider may take for one of them is not passed on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from console.problems import ProblemError

METHODS = re.compile(r"[A-Z]{1,20}")
# RFC 9110, section 9.2.1: they change nothing, and so may be sent twice.
SAFE = {"GET", "HEAD", "OPTIONS"}
# Bodies of this size are held, so that they can be sent once more or signed.
HELD = 64 * 1024
PIECE, CHUNK = 64 * 1024, 16 * 1024
# A caller that stops in the middle is not waited for longer.
IDLE_SECONDS = 60.0
RETRIES = "Partner-Console-Retries"

# RFC 9110, section 7.6.1, and what older implementations take for such.
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
}
# What says who calls, where to, or how long a body is.
_OURS = HOP_BY_HOP | {
    "authorization",
    "content-length",
    "cookie",
    "cookie2",
    "forwarded",
    "host",
    "max-forwards",
    "x-host",
    "x-http-host-override",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-wap-profile",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "client-ip",
    "via",
    # What a browser says of itself; to a provider we are none.
    "origin",
    "referer",
    "x-csrftoken",
    RETRIES.lower(),
}
_OURS_BEGIN = ("proxy-", "x-forwarded", "sec-", "x-original-forwarded", "x-proxyuser", "x-envoy-")
# RFC 9110, section 5.6.2, without the underscore, which many take for a hyphen.
NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]+")
_PATH = re.compile(r"[!$%&'()*+,\-./0-9:;=@A-Z_a-z~\[\]]*")
_QUERY = re.compile(r"[\x21\x24-\x7e]*")


class CallerGone(Exception):
    """The caller stopped in the middle of its body; what the provider got of it is no whole request."""


@dataclass
class Asked:
    """A request as the caller means it. `path` and `query` are as they came over the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    # Bytes where all of it is held, None where there is none, else it is still to come.
    body: "bytes | Body | None"
    retries: int | None
    # How it last went out, with the credential: the installation as it was found, address, headers.
    sent: "tuple[Any, str, dict[str, str]] | None" = field(default=None, repr=False)

    @property
    def is_repeatable(self) -> bool:
        return not isinstance(self.body, Body)


class Body:
    """A body on its way: `length` bytes, or as many as come. Read once."""

    def __init__(self, stream, length: int | None, sock):
        self._stream, self.length, self._sock = stream, length, sock

    def __iter__(self) -> Iterator[bytes]:
        left = self.length
        while left is None or left:
            piece = self._read(CHUNK if left is None else min(PIECE, left))
            if left is None and not piece:
                return
            if not piece:
                raise CallerGone
            if left is not None:
                left -= len(piece)
            yield piece

    def hold(self) -> bytes:
        """All of it. Raises ProblemError where that is more than is held."""
        found = b""
        for piece in self:
            found += piece
            if len(found) > HELD:
                raise ProblemError("body_not_signable", words=f"at most {HELD:,} bytes")
        return found

    def _read(self, size: int) -> bytes:
        try:
            if self._sock is not None:
                self._sock.settimeout(IDLE_SECONDS)
            return self._stream.read(size)
        except Exception as error:
            # The server's own names for a connection that broke off, and for chunks that are none.
            raise CallerGone from error


def read(request, path: str) -> Asked:
    """What a Django request asks for; `path` is what the route found behind `/proxy/`.

    Raises ProblemError.
    """
    meta = request.META
    found = _checked(request.method, _raw(request, path), meta.get("QUERY_STRING", ""), meta)
    found.body = _body(request)
    return found


def written(method: str, target: str, headers: list[tuple[str, str]], body: bytes | None) -> Asked:
    """What a person has typed: `target` is a path with its query. Raises ProblemError as `read` does."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", target):
        raise ProblemError("proxy_request_refused", words="the path is an address elsewhere")
    path, _, query = target.partition("?")
    meta: dict[str, str] = {}
    for name, value in headers:
        if not NAME.fullmatch(name):
            raise ProblemError("proxy_request_refused", words="a header's name has characters that none has")
        # As a server hands them on (RFC 3875, section 4.1.18), several of a name as one.
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        meta[key] = f"{meta[key]}, {value}" if key in meta else value
    found = _checked(method, path, query, meta)
    found.body = body
    return found


def _checked(method: str, path: str, query: str, meta) -> Asked:
    """A request without its body, of which nothing leads elsewhere. Raises ProblemError."""
    if not METHODS.fullmatch(method) or method in ("CONNECT", "TRACE"):
        raise ProblemError("proxy_request_refused", words="this method is not passed on")
    retries = meta.get("HTTP_PARTNER_CONSOLE_RETRIES")
    if retries is not None and retries not in ("0", "1", "2", "3"):
        raise ProblemError("proxy_request_refused", words=f"{RETRIES} is 0, 1, 2 or 3")
    return Asked(
        method=method,
        path=_path(path),
        query=_query(query),
        headers=_headers(meta),
        body=None,
        retries=None if retries is None else int(retries),
    )


def _raw(request, path: str) -> str:
    """As it came over the wire: what the route gives has been decoded. Raises ProblemError."""
    raw = request.META.get("RAW_URI")
    if raw is None:
        # Another server than ours: as near to it as can be.
        return quote(path, safe="!$&'()*+,-./:;=@_~")
    before = request.path[: len(request.path) - len(path)]
    raw = raw.partition("?")[0]
    if not raw.startswith(before):
        raise ProblemError("proxy_request_refused", words="the address is written in an unusual way")
    return raw.removeprefix(before)


def _path(raw: str) -> str:
    """Raises ProblemError."""
    if not _PATH.fullmatch(raw):
        raise ProblemError("proxy_request_refused", words="the path has characters that must be encoded")
    if _leads_away(raw):
        raise ProblemError("proxy_request_refused", words="the path leads out of its place")
    return raw


def _leads_away(path: str) -> bool:
    """Whether a server could take it for a path elsewhere, however often that one decodes."""
    before = None
    while before != path:
        if path.startswith(("/", "\\")) or any(char < " " for char in path):
            return True
        segments = re.split(r"[/\\]", path)
        if any(re.split("[;?#]", segment)[0].strip() in (".", "..") for segment in segments):
            return True
        before, path = path, unquote(path, errors="replace")
    return False


def _query(text: str) -> str:
    if not _QUERY.fullmatch(text):
        raise ProblemError("proxy_request_refused", words="the query has characters that must be encoded")
    return text


def _headers(meta) -> dict[str, str]:
    """Those that may be passed on. Raises ProblemError where one of them could become two."""
    # RFC 9110, section 7.6.1: what Connection names is for us alone.
    named = {name.strip().lower() for name in meta.get("HTTP_CONNECTION", "").split(",")}
    found = {}
    for key, value in meta.items():
        if key == "CONTENT_TYPE":
            name = "Content-Type"
        elif key.startswith("HTTP_"):
            name = key[5:].replace("_", "-").title()
        else:
            continue
        if any(char in value for char in "\r\n\0"):
            raise ProblemError("proxy_request_refused", words=f"a line break in {name}")
        lower = name.lower()
        if value and lower not in _OURS and lower not in named and not lower.startswith(_OURS_BEGIN):
            found[name] = value
    return found


def _body(request) -> "bytes | Body | None":
    """Raises ProblemError where two places say differently where it ends (RFC 9112, section 6.3)."""
    meta = request.META
    coding, length = meta.get("HTTP_TRANSFER_ENCODING", ""), meta.get("CONTENT_LENGTH", "")
    sock = meta.get("gunicorn.socket")
    if coding:
        if length or coding.strip().lower() != "chunked" or not meta.get("wsgi.input_terminated"):
            raise ProblemError("proxy_request_refused", words="it is not clear where the body ends")
        # Django takes a body without a length for none.
        return Body(meta["wsgi.input"], None, sock)
    if not length:
        return None
    if not (length.isascii() and length.isdigit()):
        raise ProblemError("proxy_request_refused", words="it is not clear where the body ends")
    body = Body(request, int(length), sock)
    return b"".join(body) if body.length <= HELD else body
