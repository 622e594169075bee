"""Addresses that lead to the proxy without an API key, and installations to call through it."""

from uuid import UUID

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from connectors import registry, releases
from console.models import Account
from console.tenancy import Principal
from installations.api.proxy import pass_on
from installations.auth import Token
from installations.models import Credential, CredentialVersion, Installation, Status


@csrf_exempt
def proxy(request, installation_id: UUID, rest: str = ""):
    """The key is the partner's id."""
    partner_id = UUID(request.headers["Authorization"].removeprefix("Bearer "))
    return pass_on(request, Principal(partner_id=partner_id, actor="a test"), installation_id, rest)


urlpatterns = [
    path("api/v1/installations/<uuid:installation_id>/proxy/", proxy),
    path("api/v1/installations/<uuid:installation_id>/proxy/<path:rest>", proxy),
]


def connected(
    account: Account, slug: str, method: str, token: Token, *, values: dict | None = None, **fields
) -> Installation:
    """An installation that holds this token, as if its setup had been gone through."""
    connector = registry.get(slug)
    row = Installation.objects.create(
        partner=account.partner,
        account=account,
        connector=slug,
        release_id=releases.keep(connector),
        auth_method=method,
        status=Status.CONNECTED,
        **fields,
    )
    row.set_values(values or {}, "owner@northwind.example")
    row.save()
    version = CredentialVersion.objects.create(
        partner=account.partner, installation=row, token=token.to_json(), expires_at=token.expires_at
    )
    Credential.objects.create(partner=account.partner, installation=row, current=version)
    return row
