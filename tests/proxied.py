"""Installations that hold a token, as if their setup had been gone through."""

from connectors import registry, releases
from console.models import Account
from installations.auth import Token
from installations.models import Credential, CredentialVersion, Installation, Status


def connected(
    account: Account, slug: str, method: str, token: Token, *, values: dict | None = None, **fields
) -> Installation:
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
