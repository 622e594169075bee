"""What a token says about how long and how well an installation will go on."""

import random
from datetime import datetime, timedelta

from connectors.manifest import AuthMethod, Manifest
from connectors.models import ConnectorSettings
from console.crypto import digest
from installations.auth import Token, can_renew
from installations.models import Installation
from installations.values import fill, fill_scopes, resolve


def values_of(
    installation: Installation, settings: ConnectorSettings, token: Token, instead: dict | None = None
) -> dict[str, str]:
    """Every value known for an installation. `instead` replaces some of the partner's.

    A credential belongs to the application that it was issued to: one that the account supplied itself goes
    before the partner's, whatever the partner stores since.
    """
    manifest, auth_method = installation.definition.manifest, installation.auth_method
    own = {**(installation.values or {}), **installation.discovered}
    mine = manifest.client_registration(auth_method) & own.keys()
    stored = {**settings.values_for(manifest, auth_method), **(instead or {})}
    stored = {name: value for name, value in stored.items() if name not in mine}
    return resolve(manifest, auth_method, stored, own, token.values)


def has_own_client(installation: Installation) -> bool:
    """Whether the account brought its own application, and not the partner's."""
    client = installation.definition.manifest.client_registration(installation.auth_method)
    return bool(client & (installation.stored or {}).keys())


# A token is renewed so long before its end, or at half of its life where that is short.
LEAD = timedelta(minutes=15)


def lead(lifetime: timedelta) -> timedelta:
    return min(LEAD, lifetime / 2)


def renew_at(method: AuthMethod, token: Token, obtained_at: datetime) -> datetime | None:
    """When to renew it, spread by a tenth so that what began together does not end together; None: never."""
    if not token.expires_at or not can_renew(method, token):
        return None
    ahead = lead(token.expires_at - obtained_at)
    return token.expires_at - ahead * random.uniform(0.9, 1.1)  # noqa: S311


# An end that a renewal moves by more than this is moved by each; less is the time that requests take.
MOVED = timedelta(minutes=1)


def grant_expires_at(method: AuthMethod, token: Token, before: Token | None = None) -> datetime | None:
    """When the grant ends whatever we do; None: not that we know.

    `before` is the token that this one took the place of: an end that was put off by that is none.
    """
    if not can_renew(method, token):
        return token.expires_at
    end, earlier = token.refresh_expires_at, before and before.refresh_expires_at
    return None if end and earlier and end - earlier > MOVED else end


def missing_scopes(settings: ConnectorSettings, method: AuthMethod, token: Token, values: dict) -> str:
    """What the partner asks for and was not granted, with spaces between; "" where nobody said."""
    if token.granted_scopes is None:
        return ""
    wanted = fill_scopes(settings.scopes_for(method), values)
    return " ".join(scope for scope in wanted if scope not in token.granted_scopes)


def client_digest(method: AuthMethod, values: dict) -> str:
    """Names the OAuth client of a token without telling it; "" where there is none."""
    client_id = fill(method.client_id, values) if method.is_oauth else ""
    return digest(client_id) if client_id else ""


def wanted(manifest: Manifest) -> tuple[str, ...]:
    """The places of a token response whose values the manifest asks for."""
    return tuple(prop.token_response for prop in manifest.properties if prop.token_response)


def version_fields(method: AuthMethod, token: Token, values: dict) -> dict:
    """What a version of the credential says of its token."""
    return {
        "token": token.to_json(),
        "granted_scopes": " ".join(token.granted_scopes or ()),
        "expires_at": token.expires_at,
        "client_digest": client_digest(method, values),
    }


def installation_fields(
    settings: ConnectorSettings, method: AuthMethod, token: Token, values: dict, before: Token | None = None
) -> dict:
    """What an installation says of its token."""
    return {
        "missing_scopes": missing_scopes(settings, method, token, values),
        "grant_expires_at": grant_expires_at(method, token, before),
    }
