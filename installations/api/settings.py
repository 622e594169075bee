"""What a partner stores for a connector: secrets go in and never come out."""

from datetime import date, datetime
from typing import Literal

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field, StrictBool

from connectors import catalogue
from connectors.api import PropertyOut, property_out
from connectors.forms import SettingsForm
from connectors.models import ConnectorSettings, completeness
from connectors.registry import Connector
from console.api_operations import operation
from console.contract import Body, answer, form_errors, refuse_changed, refuse_partial
from console.problems import ProblemError
from installations import clients

router = Router(tags=["Connector settings"])


class StoredOut(PropertyOut):
    is_stored: bool
    stored_at: datetime | None
    stored_by: str | None
    value: str | None = Field(description="What is stored, where it is no secret.")


class SettingsOut(Schema):
    connector: str
    state: str = Field(
        description="How much of what is due you have stored: complete, partial, empty or nothing."
    )
    redirect_uri: str = Field(description="What you register with the provider.")
    properties: list[StoredOut]
    scopes: list[str] = Field(description="What is asked for in place of the connector's own; empty: those.")
    auth_methods: list[str] = Field(description="What is offered to customers; empty: all.")
    secret_expires_on: date | None
    previous_counts_until: datetime | None = Field(description="Until when the client before today's counts.")


class SettingsIn(Body):
    values: dict[str, str | None] = Field({}, description="By property; null removes what is stored.")
    scopes: list[str] | None = None
    auth_methods: list[str] | None = None
    secret_expires_on: date | None = None
    overlap_days: Literal[0, 1, 7, 30] = Field(
        7, description="How long the OAuth client that is replaced counts on."
    )
    accept_reauthorisation: StrictBool = Field(
        False, description="Replace the Client ID even where customers must then authorise again."
    )


def _of(request: HttpRequest, key: str, *, hold: bool = False) -> tuple[Connector, ConnectorSettings]:
    if request.principal.account_id:
        raise ProblemError("account_key")
    entry = catalogue.entry(request.principal, key)
    if entry is None:
        raise Http404
    rows = ConnectorSettings.objects.visible_to(request.principal).held(hold)
    return entry.connector, rows.for_connector(request.principal.partner_id, key)


def _out(connector: Connector, row: ConnectorSettings) -> SettingsOut:
    values = row.values or {}

    def stored(prop) -> StoredOut:
        facts = row.stored.get(prop.name)
        return StoredOut(
            **property_out(prop).model_dump(),
            is_stored=facts is not None,
            stored_at=facts and facts["at"],
            stored_by=facts and facts["by"],
            value=None if prop.is_secret else values.get(prop.name),
        )

    return SettingsOut(
        connector=connector.slug,
        state=completeness(connector.manifest, row.stored),
        redirect_uri=row.redirect_uri,
        properties=[stored(prop) for prop in connector.manifest.partner_properties],
        scopes=row.scopes.split(),
        auth_methods=list(row.auth_methods),
        secret_expires_on=row.secret_expires_on,
        previous_counts_until=row.previous_until,
    )


@operation(router.get, "/connectors/{key}/settings", "read", SettingsOut, 404)
def get_connector_settings(request: HttpRequest, key: str) -> HttpResponse:
    """Read what is stored for a connector."""
    return answer(request, _out(*_of(request, key)))


@operation(router.patch, "/connectors/{key}/settings", "write", SettingsOut, 404, 409, 412)
@transaction.atomic
def update_connector_settings(request: HttpRequest, key: str, body: SettingsIn) -> HttpResponse:
    """Store values for a connector.

    What is not named stays as it is. Values count for all installations of the connector.
    """
    refuse_partial(request)
    connector, row = _of(request, key, hold=True)
    refuse_changed(request, _out(connector, row))
    names = {prop.name for prop in connector.manifest.partner_properties}
    if strays := sorted(body.values.keys() - names):
        errors = [
            {"pointer": f"#/values/{name}", "detail": "The connector has no such property."}
            for name in strays
        ]
        raise ProblemError("invalid_request", errors=errors)
    form = SettingsForm(_as_form(body, connector, row), manifest=connector.manifest, settings=row)
    if not form.is_valid():
        raise ProblemError("invalid_request", errors=form_errors(form, within=dict.fromkeys(names, "values")))
    removed = {name: None for name, value in body.values.items() if value is None and name in row.stored}
    changes = form.changes() | removed
    lost = clients.would_lose(request.principal, connector.manifest, row, changes)
    if lost and not body.accept_reauthorisation:
        raise ProblemError("would_need_consent", words=f"{lost:,} installations")
    clients.change(
        request.principal,
        row,
        changes,
        client=connector.manifest.client_properties,
        overlap=form.overlap,
        **form.advanced(),
    )
    return answer(request, _out(*_of(request, key)))


def _as_form(body: SettingsIn, connector: Connector, row: ConnectorSettings) -> dict:
    """The Settings tab as somebody fills it in who changes just this."""
    shown = {prop.name for prop in connector.manifest.partner_properties if not prop.is_secret}
    values = {name: value for name, value in (row.values or {}).items() if name in shown}
    sent = {name: value or "" for name, value in body.values.items()}
    given = body.model_fields_set
    expires = body.secret_expires_on if "secret_expires_on" in given else row.secret_expires_on
    return {
        **values,
        **sent,
        "scopes": " ".join(body.scopes or ()) if "scopes" in given else row.scopes,
        "auth_methods": (body.auth_methods or []) if "auth_methods" in given else list(row.auth_methods),
        "counts_until": expires and expires.isoformat(),
        "overlap_days": str(body.overlap_days),
    }
