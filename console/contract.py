"""What all operations of the API have in common: the form of answers, pages of lists, ETags."""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.schema import DjangoGetter
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, model_validator

from console.models import Event
from console.problems import ProblemError

PAGE_SIZE, PAGE_SIZE_AT_MOST = 50, 200
T = TypeVar("T")


def _has_nul(data: Any) -> bool:
    # Not by calling itself: whoever sends a body says how deep it goes.
    rest = [data]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            rest += (*part.keys(), *part.values())
        elif isinstance(part, list):
            rest += part
        elif isinstance(part, str) and "\0" in part:
            return True
    return False


class Body(Schema):
    """What a caller sends: an unknown member is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, data: Any) -> Any:
        if isinstance(data, DjangoGetter):
            data = data._obj
        if _has_nul(data):
            raise ValueError("no text may hold a NUL character")
        return data


def _sayable(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("no control characters")
    return text


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("no time of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]

# One line that somebody looks for, or that is stored. PostgreSQL takes no NUL in any text.
Words = Annotated[str, Field(max_length=100), AfterValidator(_sayable)]
Line = Annotated[str, Field(max_length=100), AfterValidator(_sayable)]


class FieldError(Schema):
    pointer: str = Field(description="Where it stands, as a JSON Pointer (RFC 6901) or a parameter's name.")
    detail: str


class EventOut(Schema):
    id: UUID
    at: datetime
    kind: str
    actor: str
    text: str
    subject_id: UUID | None = Field(description="What it is about: an installation, an account, settings.")
    request_id: str | None

    @classmethod
    def of(cls, row: Event) -> "EventOut":
        return cls(
            id=row.pk,
            at=row.at,
            kind=row.kind,
            actor=row.actor,
            text=row.text,
            subject_id=row.subject_id,
            request_id=row.reference or None,
        )


class ProblemDetails(Schema):
    """RFC 9457."""

    type: str = Field(description="Names the problem for ever, and leads to what it means.")
    title: str
    status: int
    detail: str
    code: str = Field(description="The last part of type.")
    request_id: str = Field(description="Stands in the console's log and on its record.")
    words: str | None = Field(None, description="What the provider said, where it said something.")
    errors: list[FieldError] | None = None


class Page(Schema, Generic[T]):
    data: list[T]
    next: str | None = Field(description="The cursor of the page after this one; null: it is the last.")


class Paging(Schema):
    limit: int = Field(PAGE_SIZE, ge=1, le=PAGE_SIZE_AT_MOST, description="How many at most.")
    cursor: str | None = Field(None, max_length=500, description="next of the page before.")


def responses(schema: Any, *problems: int, status: int = 200) -> dict[int, Any]:
    """What an operation may answer: `schema` when it is done, and the problems that it may meet."""
    everywhere = (400, 401, 403, 422, 429, 500)
    return {status: schema, **dict.fromkeys((*everywhere, *problems), ProblemDetails)}


def answer(request: HttpRequest, body: Schema | None, status: int = 200, **headers: str) -> HttpResponse:
    """The JSON of a body. What is read or changed has an ETag; who has what is read is not sent it again."""
    if body is None:
        return HttpResponse(status=204)
    content = body.model_dump_json().encode()
    response = HttpResponse(content, content_type="application/json", status=status)
    for name, value in headers.items():
        response[name.replace("_", "-")] = value
    if request.method in ("GET", "PATCH"):
        response["ETag"] = etag = etag_of(content)
        response["Cache-Control"] = "private, no-cache"
        if request.method == "GET" and _names(request.headers.get("If-None-Match", ""), etag):
            response.status_code, response.content = 304, b""
    return response


def etag_of(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:32]}"'


def _names(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags


def refuse_changed(request: HttpRequest, today: Schema) -> None:
    """Raise ProblemError where If-Match (RFC 9110, section 13.1.1) names another state than today's.

    Call it within the transaction that changes the row, which is held.
    """
    asked = request.headers.get("If-Match")
    if asked is not None and not _names(asked, etag_of(today.model_dump_json().encode())):
        raise ProblemError("precondition_failed")


def refuse_partial(request: HttpRequest, words: str = "") -> None:
    """Raise ProblemError where the key reaches a part of the company alone, for what is of all of it."""
    if request.principal.account_id:
        raise ProblemError("account_key", words=words)
    if request.principal.is_test:
        raise ProblemError("test_key", words=words)


def form_errors(form: Form, within: dict[str, str] | None = None) -> list[dict[str, str]]:
    """What a page's form says, for a program. `within`: the member of the body that holds a field."""

    def pointer(name: str) -> str:
        outer = (within or {}).get(name)
        return "#" if name == "__all__" else f"#/{outer}/{name}" if outer else f"#/{name}"

    return [
        {"pointer": pointer(name), "detail": str(said)}
        for name, all_said in form.errors.items()
        for said in all_said
    ]


def page(rows: QuerySet, paging: Paging, of: Callable[[Any], T], *, newest_first: str = "created_at") -> dict:
    """One page of rows, newest first, found along the index on that column and the id."""
    if paging.cursor:
        at, key = _opened(paging.cursor)
        before = Q(**{f"{newest_first}__lt": at}) | Q(**{newest_first: at, "pk__lt": key})
        # The first condition alone is what an index is entered by.
        rows = rows.filter(before, **{f"{newest_first}__lte": at})
    found = list(rows.order_by(f"-{newest_first}", "-pk")[: paging.limit + 1])
    shown = found[: paging.limit]
    more = cursor_after(shown[-1], newest_first) if len(found) > paging.limit else None
    return {"data": [of(row) for row in shown], "next": more}


def cursor_after(row: Model, column: str) -> str:
    text = json.dumps([getattr(row, column).isoformat(), str(row.pk)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(cursor: str) -> tuple[datetime, UUID]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at, key = json.loads(text)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return _in_utc(moment), UUID(key)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise ProblemError("invalid_cursor") from None
