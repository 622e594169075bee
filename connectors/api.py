"""Connectors, as the API lists them."""

import base64
from collections.abc import Iterable

from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from connectors import catalogue
from connectors.manifest import AuthMethod, Property
from connectors.models import ConnectorSettings, completeness
from console.api_operations import operation
from console.contract import Page, Paging, Words, answer
from console.problems import ProblemError

router = Router(tags=["Connectors"])


class AuthMethodOut(Schema):
    key: str
    type: str = Field(description="The grant's RFC name, or api_key, http_basic, …")
    label: str
    scopes: list[str] = Field(description="What it asks for where the partner chose nothing else.")


class PropertyOut(Schema):
    name: str
    label: str
    description: str
    type: str
    level: str = Field(description="Who supplies it: partner, partner_else_account, account or system.")
    required: bool
    is_secret: bool
    choices: list[str]


class ConnectorOut(Schema):
    key: str
    name: str
    summary: str
    version: str
    website: str
    categories: list[str]
    is_custom: bool = Field(description="Whether it is your own and nobody else's.")
    settings: str = Field(description="What you have stored for it: complete, partial, empty or nothing.")
    auth_methods: list[AuthMethodOut]
    properties: list[PropertyOut]


class Asked(Paging):
    q: Words = Field("", description="Part of a name, an alias or a category; best first.")
    category: Words = ""


def _method(method: AuthMethod) -> AuthMethodOut:
    scopes = list(getattr(method, "default_scopes", ()))
    return AuthMethodOut(key=method.key, type=method.type, label=method.label, scopes=scopes)


def property_out(prop: Property) -> PropertyOut:
    return PropertyOut(
        name=prop.name,
        label=prop.label,
        description=prop.description,
        type=prop.type,
        level=prop.level,
        required=prop.required,
        is_secret=prop.is_secret,
        choices=[choice.value for choice in prop.choices],
    )


def _out(entry: catalogue.Entry, stored: dict) -> ConnectorOut:
    connector = entry.connector
    manifest = connector.manifest
    return ConnectorOut(
        key=connector.slug,
        name=connector.name,
        summary=manifest.summary,
        version=manifest.version,
        website=manifest.website,
        categories=list(manifest.categories),
        is_custom=entry.custom is not None,
        settings=completeness(manifest, stored),
        auth_methods=list(map(_method, manifest.auth_methods)),
        properties=list(map(property_out, manifest.properties)),
    )


def _stored(request: HttpRequest, keys: Iterable[str]) -> dict[str, dict]:
    rows = ConnectorSettings.objects.visible_to(request.principal).filter(connector__in=list(keys))
    return dict(rows.values_list("connector", "stored"))


@operation(router.get, "/connectors", "read", Page[ConnectorOut])
def list_connectors(request: HttpRequest, asked: Query[Asked]) -> HttpResponse:
    """List what can be installed."""
    found = catalogue.search(request.principal, asked.q, only_offered=True)
    if asked.category:
        found = [entry for entry in found if asked.category in entry.connector.manifest.categories]
    first = _place(asked.cursor, found)
    shown = found[first : first + asked.limit]
    stored = _stored(request, (entry.connector.slug for entry in shown))
    data = [_out(entry, stored.get(entry.connector.slug, {})) for entry in shown]
    more = first + asked.limit < len(found)
    cursor = base64.urlsafe_b64encode(shown[-1].connector.slug.encode()).decode() if more else None
    return answer(request, Page[ConnectorOut](data=data, next=cursor))


def _place(cursor: str | None, found: list[catalogue.Entry]) -> int:
    """The place after the connector that the cursor names."""
    if not cursor:
        return 0
    slugs = [entry.connector.slug for entry in found]
    try:
        return slugs.index(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()) + 1
    except ValueError:
        raise ProblemError("invalid_cursor") from None


@operation(router.get, "/connectors/{key}", "read", ConnectorOut, 404)
def get_connector(request: HttpRequest, key: str) -> HttpResponse:
    """Read one connector."""
    entry = catalogue.entry(request.principal, key)
    if entry is None:
        raise Http404
    return answer(request, _out(entry, _stored(request, [key]).get(key, {})))
