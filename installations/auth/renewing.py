"""Obtain a token anew, and end one, without anybody in front of a browser."""

from dataclasses import replace

from connectors.manifest import AuthMethod
from installations.auth.client_credentials import ClientCredentials
from installations.auth.jwt_bearer import JwtBearer
from installations.auth.password import Password
from installations.auth.pasted_grant import Unprompted
from installations.auth.token import Token
from installations.auth.token_endpoint import Client, Keep
from installations.values import fill, fill_url

# Methods whose stored values give a token at any time.
AT_ANY_TIME = {
    "client_credentials": ClientCredentials,
    "password": Password,
    "jwt_bearer": JwtBearer,
}


def can_renew(method: AuthMethod, token: Token) -> bool:
    return method.type in AT_ANY_TIME or (method.is_oauth and bool(token.refresh_token))


def renew(
    method: AuthMethod,
    values: dict[str, str],
    token: Token,
    scopes: list[str],
    *,
    wanted: tuple[str, ...] = (),
    keep: Keep | None = None,
) -> Token:
    """A new token in place of this one. Raises TokenError, BadValue.

    `keep` gets each answer before anything reads it. What the answer leaves out stays as it was (section 6):
    the refresh token, the scopes.
    """
    if method.type in AT_ANY_TIME:
        fresh = AT_ANY_TIME[method.type]().obtain(method, values, scopes, wanted, keep=keep)
    else:
        client = Client(
            method, values, Unprompted(fill(method.client_id, values), "refresh_token"), keep=keep
        )
        fresh = client.ask(
            refresh_token=token.refresh_token,
            method=getattr(method, "token_request_method", "POST"),
            secrets=(token.refresh_token,),
            wanted=wanted,
        )
    return following(token, fresh)


def following(token: Token, fresh: Token) -> Token:
    """The new token, with what its answer left out."""
    scopes = token.granted_scopes if fresh.granted_scopes is None else fresh.granted_scopes
    refresh_token = fresh.refresh_token.strip() or token.refresh_token
    is_same = refresh_token == token.refresh_token
    return replace(
        fresh,
        refresh_token=refresh_token,
        refresh_expires_at=fresh.refresh_expires_at or (token.refresh_expires_at if is_same else None),
        granted_scopes=scopes,
        values=token.values,
        extra={**token.extra, **fresh.extra},
    )


def revoke(method: AuthMethod, values: dict[str, str], token: Token) -> None:
    """End a grant at its provider (RFC 7009, section 2.1), the refresh token first: with it goes the rest.

    Success is 200, for an unknown token as well (section 2.2). Raises TokenError, BadValue.
    """
    endpoint = getattr(method, "revocation_endpoint", "")
    if not endpoint:
        return
    kind = "refresh_token" if token.refresh_token else "access_token"
    client = Client(method, values, Unprompted(fill(method.client_id, values), "refresh_token"))
    client.revoke(fill_url(endpoint, values), getattr(token, kind), kind)
