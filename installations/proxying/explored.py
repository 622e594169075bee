"""One call that a person makes by hand: what was sent, and what came back, as a page may show it.

Trust changes hands here. Whatever the provider says is a text and nothing else, and what it repeats of the
credential is taken out before anything is cut off or shown.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from connectors.manifest import Manifest
from connectors.manifest.vocabulary import names_in
from console.http import Unreachable
from console.models import Event
from console.problems import ProblemError, hide
from console.streams import Answer
from console.tenancy import Principal
from installations.ending import name_of
from installations.models import Installation
from installations.proxying import calling
from installations.proxying import found as finding
from installations.proxying.asked import Asked
from installations.proxying.found import Found
from installations.values import BadValue

KIND = "explorer.called"
# Bytes of an answer that are read. Of a longer one the end is left off, where a secret may be cut in two.
READ, LEFT_OFF = 256 * 1024, 8 * 1024
READ_SECONDS = 20.0
# Characters of JSON with its lines: a few brackets can ask for very many spaces.
TIDY = 1_000_000
# What signs a request in a header of its own, which then is the credential.
_SIGNING = ("http_basic", "oauth1", "oauth1_redirection", "aws_signature")
_CHARSETS = {"utf-8", "utf8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"}
_TEXTS = re.compile(
    r"text/.*|application/(json|xml|javascript|yaml|x-ndjson|graphql|x-www-form-urlencoded|sql)|.*\+(json|xml)"
)
_PIECES = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


@dataclass
class Shown:
    """An answer, as far as a page shows it."""

    status: int
    words: str
    headers: str
    # "" where there is none, or none that is text: `note` says why.
    body: str
    note: str


@dataclass
class Explored:
    """`sent` is the first line and the headers as they went out, "" where nothing did."""

    sent: str
    milliseconds: int
    answer: Shown | None = None
    problem: ProblemError | None = None


def explore(principal: Principal, installation: Installation, asked: Asked, reference: str) -> Explored:
    """Make the call, and put it on the record whatever comes of it."""
    started, answer, problem, secrets = time.monotonic(), None, None, set()
    try:
        found = finding.find(principal, installation.pk)
        secrets = _secrets(found)
        room = calling.Room(installation.partner_id, installation.pk)
        try:
            reply = calling.call(found, asked)
            # Meanwhile another token may have taken the place of the first.
            secrets |= _secrets_sent(asked)
            answer = _shown(reply, asked.method, secrets)
        except Unreachable as error:
            code = "provider_timeout" if error.kind == "timeout" else "provider_unavailable"
            problem = ProblemError(code, words=str(error))
        finally:
            room.leave()
    except ProblemError as error:
        problem = error
    secrets |= _secrets_sent(asked)
    explored = Explored(_sent(asked, secrets), round((time.monotonic() - started) * 1000), answer, problem)
    _record(principal, installation, asked, explored, secrets, reference)
    return explored


def _record(
    principal: Principal,
    installation: Installation,
    asked: Asked,
    explored: Explored,
    secrets: set[str],
    reference: str,
) -> None:
    path = hide(f"/{asked.path}", *secrets)[:200]
    details = {"method": asked.method, "path": path, "ms": explored.milliseconds}
    if answer := explored.answer:
        said, details["status"] = answer.words, answer.status
    else:
        names = {"connector": name_of(installation), "partner": installation.partner.name}
        said, details["problem"] = explored.problem.sentence(**names), explored.problem.code
    Event.objects.record(
        KIND,
        principal,
        f"Called by hand: {asked.method} {path}: {said}"[:300],
        subject=installation,
        reference=reference,
        **details,
    )


# ── what must not be shown ──────────────────────────────────────────────────────────────────────


def secret_names(manifest: Manifest) -> set[str]:
    """The properties that are secret, and what is made of such."""
    entered = {prop.name for prop in manifest.properties if prop.is_secret and prop.level != "system"}
    return entered | {prop.name for prop in manifest.properties if names_in(prop.template) & entered}


def _secrets(found: Found) -> set[str]:
    try:
        _, known = found.filled()
    except BadValue:
        # With them nothing can be sent.
        known = {}
    values = [known.get(name, "") for name in secret_names(found.plan.manifest)]
    # One of three characters stands everywhere, and would be told by the gaps.
    return {secret for secret in (*found.token.secrets, *values) if len(secret) > 3}


def _secrets_sent(asked: Asked) -> set[str]:
    """Those of the call as it last went out, and what was made of them for it."""
    if asked.sent is None:
        return set()
    found, _, headers = asked.sent
    secrets = _secrets(found)
    if found.plan.method.type in _SIGNING:
        secrets.add(headers.get("Authorization", "").partition(" ")[2])
    return secrets


def _sent(asked: Asked, secrets: set[str]) -> str:
    if asked.sent is None:
        return ""
    _, url, headers = asked.sent
    lines = [f"{asked.method} {url}", *(f"{name}: {value}" for name, value in headers.items())]
    return hide("\n".join(lines), *secrets)


# ── the answer ──────────────────────────────────────────────────────────────────────────────────


def _shown(answer: Answer, method: str, secrets: set[str]) -> Shown:
    """Raises Unreachable where it breaks off."""
    whole_size = answer.length
    content, is_whole = answer.beginning(READ, READ_SECONDS)
    kind, charset = _kind(answer)
    size = f"{len(content):,} bytes" if is_whole else "more than 256 KB"
    if not is_whole and whole_size:
        size = f"{whole_size:,} bytes"
    body, note = "", ""
    if not content:
        note = "It has no body."
    elif answer.header("Content-Encoding").lower() not in ("", "identity"):
        note = f"{size} of {kind or 'unknown type'}, compressed. It is not shown here."
    elif not _is_text(kind, content):
        note = f"{size} of {kind or 'unknown type'}. It is no text, and not shown here."
    else:
        text = (content if is_whole else content[:-LEFT_OFF]).decode(charset, "replace")
        body = hide(_tidy(text) if is_whole else text, *secrets)
        # Half a character, which JSON can write, goes into no page.
        body = body.encode("utf-8", "replace").decode()
        note = size if is_whole else f"The beginning of {size}: no more is read here."
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    return Shown(
        status=answer.status,
        words=hide(f"{answer.status} {answer.reason or _words(answer.status)}", *secrets)[:100].strip(),
        headers=hide(headers, *secrets),
        body=body,
        note=note,
    )


def _kind(answer: Answer) -> tuple[str, str]:
    """The media type without parameters, and how its text is encoded."""
    kind, _, rest = answer.header("Content-Type").partition(";")
    said = re.search(r'charset\s*=\s*"?([\w-]+)', rest, re.IGNORECASE)
    charset = said[1].lower() if said else "utf-8"
    return kind.strip().lower()[:100], charset if charset in _CHARSETS else "utf-8"


def _is_text(kind: str, content: bytes) -> bool:
    if kind:
        return bool(_TEXTS.fullmatch(kind))
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _words(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _tidy(text: str) -> str:
    """JSON with its lines, each number as it came; what is none as it is.

    Texts are written anew, so that a secret in them has one of the forms that are known.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    found, size = [], 0
    for piece in _lines(text):
        found.append(piece)
        size += len(piece)
        if size > TIDY:
            return text
    return "".join(found)


def _lines(text: str) -> Iterator[str]:
    depth, before = 0, ""
    for piece in _PIECES.findall(text):
        closes, is_first = piece in ("]", "}"), before in ("[", "{")
        depth -= closes
        if not is_first if closes else is_first or before == ",":
            yield "\n" + "  " * depth
        depth += piece in ("[", "{")
        yield json.dumps(json.loads(piece), ensure_ascii=False) if piece[0] == '"' else piece
        if piece == ":":
            yield " "
        before = piece
