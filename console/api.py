"""The API: its operations put together, and those on accounts and the record."""

from datetime import datetime
from uuid import UUID

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import get_object_or_404
from ninja import NinjaAPI, Query, Router, Schema
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from pydantic import Field

from connectors.api import router as connectors
from console.accounts import remove, save
from console.api_operations import operation
from console.api_requests import PREFIX, answer_to
from console.contract import (
    Body,
    EventOut,
    Line,
    Page,
    Paging,
    Words,
    answer,
    form_errors,
    page,
    refuse_changed,
    refuse_partial,
)
from console.forms import AccountForm
from console.idempotency import idempotent
from console.models import Account, Event
from console.problems import ProblemError
from installations.api import routers as installed
from installations.webhooks.described import webhooks

accounts, record = Router(tags=["Accounts"]), Router(tags=["Events"])


class AccountOut(Schema):
    id: UUID
    name: str
    external_id: str | None = Field(description="This customer's id in your own software.")
    email: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Account) -> "AccountOut":
        return cls(
            id=row.pk,
            name=row.name,
            external_id=row.external_id or None,
            email=row.email or None,
            created_at=row.created_at,
        )


class AccountIn(Body):
    name: Line = Field(min_length=1)
    external_id: Line = ""
    email: str = Field("", max_length=254)


class AccountPatch(Body):
    name: Line | None = Field(None, min_length=1)
    external_id: Line | None = None
    email: str | None = Field(None, max_length=254)


class AskedAccounts(Paging):
    external_id: Words = ""
    q: Words = Field("", description="Part of a name.")


class AskedEvents(Paging):
    subject_id: UUID | None = None


@operation(accounts.get, "/accounts", "read", Page[AccountOut])
def list_accounts(request: HttpRequest, asked: Query[AskedAccounts]) -> HttpResponse:
    """List your customers, newest first."""
    rows = Account.objects.visible_to(request.principal)
    if asked.external_id:
        rows = rows.filter(external_id=asked.external_id)
    if asked.q:
        rows = rows.filter(name__icontains=asked.q)
    return answer(request, Page[AccountOut](**page(rows, asked, AccountOut.of)))


@operation(accounts.post, "/accounts", "write", AccountOut, status=201)
@idempotent
def create_account(request: HttpRequest, body: AccountIn) -> HttpResponse:
    """Add a customer."""
    refuse_partial(request)
    row = _saved(Account(partner_id=request.principal.partner_id), body.model_dump(), request)
    return answer(request, AccountOut.of(row), 201, Location=f"{PREFIX}accounts/{row.pk}")


@operation(accounts.get, "/accounts/{uuid:account_id}", "read", AccountOut, 404)
def get_account(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Read one account."""
    return answer(request, AccountOut.of(_account(request, account_id)))


@operation(accounts.patch, "/accounts/{uuid:account_id}", "write", AccountOut, 404, 412)
@transaction.atomic
def update_account(request: HttpRequest, account_id: UUID, body: AccountPatch) -> HttpResponse:
    """Change an account."""
    row = _account(request, account_id, hold=True)
    if request.principal.is_test:
        raise ProblemError("test_key")
    refuse_changed(request, AccountOut.of(row))
    before = {"name": row.name, "external_id": row.external_id, "email": row.email}
    sent = {name: value or "" for name, value in body.model_dump(exclude_unset=True).items()}
    return answer(request, AccountOut.of(_saved(row, before | sent, request)))


@operation(accounts.delete, "/accounts/{uuid:account_id}", "write", None, 404, 409, status=204)
def delete_account(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Delete an account that has no installations."""
    row = _account(request, account_id)
    refuse_partial(request)
    if not remove(row, request.principal):
        raise ProblemError("in_use")
    return answer(request, None)


def _account(request: HttpRequest, account_id: UUID, *, hold: bool = False) -> Account:
    return get_object_or_404(Account.objects.visible_to(request.principal).held(hold), pk=account_id)


def _saved(row: Account, values: dict, request: HttpRequest) -> Account:
    form = AccountForm(values, instance=row)
    if not form.is_valid() or not save(form, request.principal):
        raise ProblemError("invalid_request", errors=form_errors(form))
    return row


@operation(record.get, "/events", "read", Page[EventOut])
def list_events(request: HttpRequest, asked: Query[AskedEvents]) -> HttpResponse:
    """List what was done, newest first."""
    refuse_partial(request, "ask for the events of one installation")
    rows = Event.objects.visible_to(request.principal)
    if asked.subject_id:
        rows = rows.filter(subject_id=asked.subject_id)
    return answer(request, Page[EventOut](**page(rows, asked, EventOut.of, newest_first="at")))


# ── put together ────────────────────────────────────────────────────────────────────────────────

_ABOUT = """\
Call it with an API key of your company: `Authorization: Bearer pc_live_…`. Keys are made in the console
under Developers, API keys.

Every fault is a problem (RFC 9457) with a stable `type`. Lists come in pages: send `next` as `cursor`.
Repeat a POST safely with an `Idempotency-Key`. `RateLimit` says how many calls are left in this minute."""

_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "A text of your own, the same for each try: what was done is answered again for a day.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}


class Api(NinjaAPI):
    def get_openapi_schema(self, **kwargs) -> OpenAPISchema:
        """What the library makes of the operations, and what holds for all of them."""
        schema = super().get_openapi_schema(**kwargs)
        schemes = schema["components"]["securitySchemes"]
        schema["components"]["securitySchemes"] = {"ApiKey": schemes["Scope"]}
        needed = self._scopes()
        for operations in schema["paths"].values():
            for method, said in operations.items():
                # What the key must be allowed, as a role (OpenAPI 3.1, security requirement object).
                said["security"] = [{"ApiKey": [needed[said["operationId"]]]}]
                self._complete(method, said)
        schema["webhooks"] = webhooks()
        return schema

    def _scopes(self) -> dict[str, str]:
        """By operation id. The library's own document leaves them out."""
        return {
            operation.operation_id: callback.scope
            for _, router in self._routers
            for view in router.path_operations.values()
            for operation in view.operations
            for callback in operation.auth_callbacks
        }

    def _complete(self, method: str, said: dict) -> None:
        said["responses"] = {str(code): response for code, response in said["responses"].items()}
        for code, response in said["responses"].items():
            if int(code) >= 400 and "content" in response:
                response["content"] = {"application/problem+json": response["content"]["application/json"]}
        if not said["description"]:
            del said["description"]
        # What is passed on to a provider is repeated as that one repeats it.
        if method == "post" and said["tags"] != ["Proxy"]:
            said.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)


api = Api(
    title="Partner Console",
    version="1",
    description=_ABOUT,
    urls_namespace="api",
    openapi_url="openapi.json",
    docs_url=None,
    # The order in which it is read; that of the routers is the one in which addresses are looked for.
    openapi_extra={
        "tags": [
            {"name": name}
            for name in (
                "Connectors",
                "Connector settings",
                "Accounts",
                "Installations",
                "Setup links",
                "Credentials",
                "Proxy",
                "Webhooks",
                "Received webhooks",
                "Events",
            )
        ]
    },
)
for router in (*installed, connectors, accounts, record):
    api.add_router("", router)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [{"pointer": _pointer(found["loc"]), "detail": found["msg"]} for found in error.errors]
    return answer_to(request, ProblemError("invalid_request", errors=errors[:50]))


def _pointer(place: tuple) -> str:
    """A library's path, ("body", "body", "name"), as a JSON Pointer; a parameter by its name."""
    kind, *rest = place
    if kind == "body":
        return "#" + "".join(f"/{part}" for part in rest[1:])
    return str(rest[-1]) if rest else str(kind)


@api.exception_handler(HttpError)
@api.exception_handler(UnreadablePostError)
@api.exception_handler(SuspiciousOperation)
def _unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    too_large = isinstance(error, RequestDataTooBig)
    return answer_to(request, ProblemError("body_too_large" if too_large else "unreadable_body"))


@api.exception_handler(Http404)
@api.exception_handler(Exception)
def _problem(request: HttpRequest, error: Exception) -> HttpResponse:
    return answer_to(request, error)
