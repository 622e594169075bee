"""Setup links: how a customer sets an installation up without a login."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field, StrictBool

from console.api_operations import operation
from console.contract import Body, Page, Paging, answer, form_errors, page
from console.idempotency import idempotent
from console.problems import ProblemError
from installations import links
from installations.api.installations import ONE, find
from installations.forms import SetupLinkForm
from installations.making import ask_again
from installations.models import Installation, SetupLink

router = Router(tags=["Setup links"])


class LinkOut(Schema):
    id: UUID
    installation_id: UUID
    state: Literal["sent", "started", "completed", "expired", "revoked"]
    email: str | None
    return_url: str | None
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None


class NewLink(LinkOut):
    url: str = Field(description="Lead the customer here. It is known only now.")
    mailed: bool


class LinkIn(Body):
    email: str = Field("", max_length=254, description="We send the link there. Optional.")
    return_url: str = Field(
        "", max_length=500, description="Where the last page leads back to: one of the company's addresses."
    )


class ReauthoriseIn(LinkIn):
    switch_account: StrictBool = Field(
        False, description="Allow another account at the provider than before."
    )


def _out(row: SetupLink) -> dict:
    return {
        "id": row.pk,
        "installation_id": row.installation_id,
        "state": row.state,
        "email": row.email or None,
        "return_url": row.return_url or None,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "completed_at": row.completed_at,
    }


def _find(request: HttpRequest, installation_id: UUID) -> Installation:
    """One that may be set up. Raises ProblemError."""
    row = find(request, installation_id)
    if row.disabled_at:
        raise ProblemError("installation_disabled")
    if row.definition is None:
        raise ProblemError("connector_gone")
    return row


def _checked(row: Installation, body: LinkIn) -> dict:
    """What a link is issued with. Raises ProblemError, with nothing changed."""
    form = SetupLinkForm({"email": body.email, "return_url": body.return_url}, partner=row.partner)
    if not form.is_valid():
        raise ProblemError("invalid_request", errors=form_errors(form))
    missing = [name for name in ("email", "return_url") if getattr(body, name) and name not in form.fields]
    if missing:
        why = {
            "email": "This console sends no mail.",
            "return_url": "The company has no return addresses: add it under Company, Profile.",
        }
        errors = [{"pointer": f"#/{name}", "detail": why[name]} for name in missing]
        raise ProblemError("invalid_request", errors=errors)
    return form.cleaned_data


def _issue(request: HttpRequest, row: Installation, fields: dict) -> HttpResponse:
    link, url = links.send(row, request.principal, **fields)
    return answer(request, NewLink(**_out(link), url=url, mailed=link.mailed), 201)


@operation(router.get, ONE + "/setup-links", "read", Page[LinkOut], 404)
def list_setup_links(request: HttpRequest, installation_id: UUID, asked: Query[Paging]) -> HttpResponse:
    """List its setup links, newest first."""
    rows = SetupLink.objects.visible_to(request.principal).filter(installation=find(request, installation_id))
    return answer(request, Page[LinkOut](**page(rows, asked, lambda row: LinkOut(**_out(row)))))


@operation(router.post, ONE + "/setup-links", "write", NewLink, 404, 409, status=201)
@idempotent(whole=False)
def create_setup_link(request: HttpRequest, installation_id: UUID, body: LinkIn) -> HttpResponse:
    """Make a setup link."""
    row = _find(request, installation_id)
    return _issue(request, row, _checked(row, body))


@operation(router.post, ONE + "/reauthorise", "write", NewLink, 404, 409, status=201)
@idempotent(whole=False)
def reauthorise_installation(
    request: HttpRequest, installation_id: UUID, body: ReauthoriseIn
) -> HttpResponse:
    """Ask its customer to authorise again.

    Makes a setup link. What is in use works on until the new credential is verified.
    """
    row = _find(request, installation_id)
    fields = _checked(row, body)
    ask_again(row, request.principal, switch_account=body.switch_account)
    return _issue(request, row, fields)


@operation(router.delete, ONE + "/setup-links/{uuid:link_id}", "write", None, 404, status=204)
def revoke_setup_link(request: HttpRequest, installation_id: UUID, link_id: UUID) -> HttpResponse:
    """Withdraw a setup link."""
    row = find(request, installation_id)
    links_of_it = SetupLink.objects.visible_to(request.principal).filter(installation=row)
    links.withdraw(get_object_or_404(links_of_it, pk=link_id), request.principal)
    return answer(request, None)
