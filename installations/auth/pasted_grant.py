"""A grant that the account obtained itself: a refresh token (RFC 6749, section 6) or a code (4.1.3)."""

from dataclasses import replace

from oauthlib.oauth2 import Client as Grant
from oauthlib.oauth2.rfc6749.parameters import prepare_token_request

from connectors.manifest import AuthMethod
from installations.auth.token import Token
from installations.auth.token_endpoint import Client
from installations.values import fill


class Unprompted(Grant):
    """A request that no redirect and no earlier answer of this client came before.

    The library has no class for it.
    """

    def __init__(self, client_id: str, grant_type: str):
        super().__init__(client_id)
        self.grant_type = grant_type

    def prepare_request_body(self, body="", include_client_id=False, code=None, redirect_uri=None, **kwargs):
        if include_client_id:
            kwargs["client_id"] = self.client_id
        value = {"code": code} if code else {}
        return prepare_token_request(self.grant_type, body=body, **value, **kwargs)


class PastedGrant:
    def obtain(
        self,
        method: AuthMethod,
        values: dict[str, str],
        scopes: list[str],
        wanted: tuple[str, ...] = (),
    ) -> Token:
        """What it allows was said where it was made: no scopes are asked for. Raises TokenError."""
        value = fill(method.value, values)
        client = Client(method, values, Unprompted(fill(method.client_id, values), method.grant))
        name = "code" if method.grant == "authorization_code" else "refresh_token"
        token = client.ask(secrets=(value,), wanted=wanted, **{name: value})
        if method.grant == "refresh_token" and not token.refresh_token:
            # Section 6: without a new one the old one goes on.
            return replace(token, refresh_token=value)
        return token
