"""OAuth 2.0 authorization code grant (RFC 6749, section 4.1) with PKCE (RFC 7636), S256."""

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256

from oauthlib.oauth2 import WebApplicationClient

from connectors.manifest import AuthMethod
from installations.auth.token import Token
from installations.auth.token_endpoint import Client
from installations.values import fill, fill_url


def code_challenge(code_verifier: str) -> str:
    """RFC 7636, section 4.2."""
    return urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


class _Grant(WebApplicationClient):
    """The grant without response_type, where a provider does not list it among its parameters."""

    send_response_type = True

    def prepare_request_uri(self, *args, **kwargs):
        uri = super().prepare_request_uri(*args, **kwargs)
        return uri if self.send_response_type else uri.replace("response_type=code&", "", 1)


class AuthorizationCode:
    def __init__(self, method: AuthMethod, values: dict[str, str], *, redirect_uri: str):
        self.method, self.values = method, values
        grant = _Grant(fill(method.client_id, values))
        grant.send_response_type = method.send_response_type
        self._client = Client(method, values, grant, redirect_uri=redirect_uri)

    @property
    def client_id(self) -> str:
        return self._client.client_id

    def begin(self, *, scopes: list[str], state: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser, and what `obtain` needs besides when the answer comes."""
        code_verifier = secrets.token_urlsafe(64)
        url = self.authorization_url(scopes=scopes, state=state, code_verifier=code_verifier)
        return url, {"code_verifier": code_verifier}

    def authorization_url(self, *, scopes: list[str], state: str, code_verifier: str) -> str:
        """Where to send the browser. The manifest may add parameters, but override none of ours."""
        session, method = self._client.session, self.method
        parameters = {name: fill(text, self.values) for name, text in method.authorization_params.items()}
        if not method.no_pkce:
            parameters |= {"code_challenge": code_challenge(code_verifier), "code_challenge_method": "S256"}
        # oauthlib joins a list with spaces and takes a text as it is.
        session.scope = scopes if method.scope_separator == " " else method.scope_separator.join(scopes)
        if method.optional_scopes_param and method.optional_scopes:
            joined = method.scope_separator.join(method.optional_scopes)
            parameters[method.optional_scopes_param] = joined
        endpoint = fill_url(method.authorization_endpoint, self.values)
        url, _ = session.authorization_url(
            endpoint, state=state, **{name: value for name, value in parameters.items() if value}
        )
        # The token request repeats no scope: oauthlib takes a narrowed one for an error, we store it.
        session.scope = None
        return url

    def obtain(self, *, code: str, code_verifier: str, wanted: tuple[str, ...] = ()) -> Token:
        """Exchange the code (RFC 6749, section 4.1.3). Raises TokenError."""
        return self._client.ask(
            code=code,
            method=self.method.token_request_method,
            secrets=(code, code_verifier),
            wanted=wanted,
            **({} if self.method.no_pkce else {"code_verifier": code_verifier}),
        )
