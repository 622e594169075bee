"""Installations: create them, look at them, and what can be done with one."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from connectors import catalogue
from console import throttle
from console.api_operations import operation
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
)
from console.idempotency import idempotent
from console.models import Account, Event
from console.problems import PROBLEMS, ProblemError
from installations import ending, health
from installations.ending import name_of
from installations.forms import InstallationForm
from installations.making import edit, make, switch
from installations.models import HELD, Installation

router = Router(tags=["Installations"])
ONE = "/installations/{uuid:installation_id}"

State = Literal[
    "not_set_up", "waiting_for_consent", "connected", "needs_attention", "disconnected", "disabled"
]


class Reason(Schema):
    code: str
    title: str


class ExternalAccount(Schema):
    id: str
    name: str


class InstallationOut(Schema):
    id: UUID
    account_id: UUID
    connector: str
    connector_version: str | None = Field(description="The release it was made with; null: that is gone.")
    name: str
    description: str
    state: State
    problem: Reason | None = Field(description="Why it needs attention.")
    auth_method: str | None
    external_account: ExternalAccount | None = Field(description="Whose credential it is, at the provider.")
    missing_scopes: list[str] = Field(description="What you ask for and the customer has not granted.")
    connected_at: datetime | None
    connected_by: str | None
    last_worked_at: datetime | None
    last_checked_at: datetime | None
    grant_expires_at: datetime | None = Field(description="When access ends whatever is done.")
    created_at: datetime


class Asked(Paging):
    account_id: UUID | None = None
    connector: Words = ""
    state: State | None = None


class InstallationIn(Body):
    account_id: UUID
    connector: str = Field(max_length=100, description="The connector's key.")
    name: Line = ""
    description: str = Field("", max_length=1000)


class InstallationPatch(Body):
    name: Line | None = None
    description: str | None = Field(None, max_length=1000)


class Tested(Schema):
    external_account: ExternalAccount
    signed_in_as: str


def out(row: Installation) -> InstallationOut:
    definition = row.definition
    problem = PROBLEMS.get(row.problem)
    found = ExternalAccount(id=row.external_account_id, name=row.external_account_name)
    return InstallationOut(
        id=row.pk,
        account_id=row.account_id,
        connector=row.connector,
        connector_version=definition and definition.manifest.version,
        name=row.name,
        description=row.description,
        state=row.state,
        problem=problem
        and Reason(code=row.problem, title=problem.title.format(connector=name_of(row), partner="You")),
        auth_method=row.auth_method or None,
        external_account=found if row.external_account_id else None,
        missing_scopes=row.missing_scopes.split(),
        connected_at=row.connected_at,
        connected_by=row.connected_by or None,
        last_worked_at=row.last_worked_at,
        last_checked_at=row.last_checked_at,
        grant_expires_at=row.grant_expires_at,
        created_at=row.created_at,
    )


def find(request: HttpRequest, installation_id: UUID, *, hold: bool = False) -> Installation:
    """The caller's installation. Problems name its connector from here on."""
    rows = Installation.objects.visible_to(request.principal).held(hold).select_related("account", "partner")
    row = get_object_or_404(rows, pk=installation_id)
    request.names = {"connector": name_of(row), "partner": row.partner.name}
    return row


@operation(router.get, "/installations", "read", Page[InstallationOut])
def list_installations(request: HttpRequest, asked: Query[Asked]) -> HttpResponse:
    """List installations, newest first."""
    rows = Installation.objects.visible_to(request.principal)
    if asked.account_id:
        rows = rows.filter(account_id=asked.account_id)
    if asked.connector:
        rows = rows.filter(connector=asked.connector)
    if asked.state:
        rows = rows.in_state(asked.state)
    return answer(request, Page[InstallationOut](**page(rows.defer("values"), asked, out)))


@operation(router.post, "/installations", "write", InstallationOut, 409, status=201)
@idempotent
def create_installation(request: HttpRequest, body: InstallationIn) -> HttpResponse:
    """Install a connector in an account.

    It is not set up yet: send its customer a setup link, or import a credential. A test key makes a
    try-out, which no customer is told of.
    """
    account = Account.objects.visible_to(request.principal).filter(pk=body.account_id).first()
    connector = catalogue.offered(request.principal, body.connector)
    errors = []
    if account is None:
        errors.append({"pointer": "#/account_id", "detail": "You have no such account."})
    if connector is None:
        errors.append({"pointer": "#/connector", "detail": "There is no such connector to install."})
    if errors:
        raise ProblemError("invalid_request", errors=errors)
    new = Installation(
        partner_id=account.partner_id,
        account=account,
        connector=connector.slug,
        is_tryout=request.principal.is_test,
    )
    form = InstallationForm({"name": body.name, "description": body.description}, instance=new)
    if not form.is_valid():
        raise ProblemError("invalid_request", errors=form_errors(form))
    row = make(form, connector, request.principal)
    return answer(request, out(row), 201, Location=f"/api/v1/installations/{row.pk}")


@operation(router.get, ONE, "read", InstallationOut, 404)
def get_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Read one installation."""
    return answer(request, out(find(request, installation_id)))


@operation(router.patch, ONE, "write", InstallationOut, 404, 412)
@transaction.atomic
def update_installation(request: HttpRequest, installation_id: UUID, body: InstallationPatch) -> HttpResponse:
    """Change its name or description."""
    row = find(request, installation_id, hold=True)
    refuse_changed(request, out(row))
    sent = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    form = InstallationForm({"name": row.name, "description": row.description} | sent, instance=row)
    if not form.is_valid():
        raise ProblemError("invalid_request", errors=form_errors(form))
    edit(row, request.principal)
    return answer(request, out(row))


@operation(router.delete, ONE, "write", None, 404, status=204)
def delete_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Delete it, and end its access at the provider."""
    ending.remove(find(request, installation_id), request.principal)
    return answer(request, None)


@operation(router.post, ONE + "/test", "read", Tested, 404, 409, 502)
@idempotent(whole=False)
def test_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Ask the provider whose credential it is."""
    row = find(request, installation_id)
    throttle.spend(f"verify:{row.pk}", per_minute=20)
    if row.definition is None:
        raise ProblemError("connector_gone")
    if row.status not in HELD:
        raise ProblemError("not_connected")
    identity = health.test(row, request.principal, request.reference)
    account = ExternalAccount(id=identity.account_id, name=identity.account_name)
    return answer(request, Tested(external_account=account, signed_in_as=identity.user_name))


@operation(router.post, ONE + "/disable", "write", InstallationOut, 404)
@idempotent(whole=False)
def disable_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Switch it off; what is stored is kept."""
    return _switched(request, installation_id, off=True)


@operation(router.post, ONE + "/enable", "write", InstallationOut, 404, 409)
@idempotent(whole=False)
def enable_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Switch it on again."""
    return _switched(request, installation_id, off=False)


def _switched(request: HttpRequest, installation_id: UUID, *, off: bool) -> HttpResponse:
    row = find(request, installation_id)
    if not switch(row, request.principal, off=off) and not off and row.disabled_at:
        raise ProblemError("installation_disabled")
    return answer(request, out(find(request, installation_id)))


@operation(router.post, ONE + "/disconnect", "write", InstallationOut, 404)
@idempotent(whole=False)
def disconnect_installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Destroy its credential, and end its access at the provider."""
    ending.disconnect(find(request, installation_id), request.principal)
    return answer(request, out(find(request, installation_id)))


@operation(router.get, ONE + "/events", "read", Page[EventOut], 404)
def list_installation_events(
    request: HttpRequest, installation_id: UUID, asked: Query[Paging]
) -> HttpResponse:
    """List what happened to it, newest first."""
    row = find(request, installation_id)
    # The record knows no accounts: whether this one is the caller's was asked above.
    whole = request.principal.of_all_accounts()
    rows = Event.objects.visible_to(whole).filter(subject_id=row.pk)
    return answer(request, Page[EventOut](**page(rows, asked, EventOut.of, newest_first="at")))
