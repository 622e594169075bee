"""OAuth 2.0 authorization code grant (RFC 6749, section 4.1) with PKCE (RFC 7636), always S256."""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import quote

from django.utils import timezone
from oauthlib.oauth2 import WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from connectors.manifest import AuthMethod
from installations import http
from installations.auth.token import Token
from installations.auth.token_response import TokenError, parse


def code_challenge(code_verifier: str) -> str:
    """RFC 7636, section 4.2."""
    return urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


class _Client(WebApplicationClient):
    """The grant without response_type, where a provider does not list it among its parameters."""

    send_response_type = True

    def prepare_request_uri(self, *args, **kwargs):
        uri = super().prepare_request_uri(*args, **kwargs)
        return uri if self.send_response_type else uri.replace("response_type=code&", "", 1)


class AuthorizationCode:
    def __init__(self, method: AuthMethod, *, client_id: str, client_secret: str, redirect_uri: str):
        self.method = method
        self.client_id = client_id
        self.client_secret = client_secret
        client = _Client(client_id)
        client.send_response_type = method.send_response_type
        self._session = http.guard(OAuth2Session(client=client, redirect_uri=redirect_uri))

    def authorization_url(self, *, scopes: list[str], state: str, code_verifier: str) -> str:
        """Where to send the browser. Only these parameters: a caller cannot override one."""
        self._session.scope = scopes
        url, _ = self._session.authorization_url(
            self.method.authorization_endpoint,
            state=state,
            code_challenge=code_challenge(code_verifier),
            code_challenge_method="S256",
        )
        return url

    def obtain(self, *, code: str, code_verifier: str) -> Token:
        """Exchange the code (RFC 6749, section 4.1.3). Raises TokenError.

        The session's scope stays unset: oauthlib takes a narrowed scope for an error, we store it.
        """
        requested_at = timezone.now()
        parsed: list[Token] = []
        secrets = (self.client_secret, code, code_verifier)

        def read(response):
            token = parse(response.status_code, response.content, requested_at=requested_at, secrets=secrets)
            parsed.append(token)
            # oauthlib reads the answer once more; it gets one that it cannot stumble over.
            response._content = json.dumps({"access_token": "-", "token_type": "bearer"}).encode()
            return response

        self._session.register_compliance_hook("access_token_response", read)
        in_body = self.method.token_endpoint_auth_method == "client_secret_post"
        credentials = {"client_secret": self.client_secret, "include_client_id": True}
        if not in_body:
            # Form-encoded before Basic (RFC 6749, section 2.3.1); the library sends them as they are.
            basic = HTTPBasicAuth(quote(self.client_id, safe=""), quote(self.client_secret, safe=""))
            credentials = {"auth": basic, "include_client_id": False}
        try:
            self._session.fetch_token(
                self.method.token_endpoint,
                code=code,
                code_verifier=code_verifier,
                method=self.method.token_request_method,
                headers={"Accept": "application/json"},
                **credentials,
            )
        except http.Unreachable as error:
            readable = error.kind not in ("too_large",)
            raise TokenError(
                "provider_unavailable" if readable else "provider_answer_unreadable", str(error)
            ) from error
        return parsed[0]
