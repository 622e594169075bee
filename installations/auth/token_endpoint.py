"""One request to a token endpoint (RFC 6749, section 3.2), whatever the grant."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from urllib.parse import quote, urlencode

from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from connectors.manifest import AuthMethod
from connectors.manifest.auth_methods import GRANTED
from connectors.manifest.vocabulary import names_in
from console import clock, http, retry_after
from installations.auth.token import Token
from installations.auth.token_response import TokenError, parse
from installations.values import fill, fill_body, fill_url

# Gets the status and the body of each answer, and when it was asked for, before anything reads them.
Keep = Callable[[int, bytes, datetime], None]


class Client:
    """A client of one authorization server: its identity at the token endpoint, and how it asks.

    `grant` is the library's client for the grant; `values` fill the manifest's templates.
    """

    def __init__(
        self, method: AuthMethod, values: dict[str, str], grant, *, keep: Keep | None = None, **session
    ):
        self.method, self.values, self.keep = method, values, keep
        self.client_id = grant.client_id
        self.client_secret = fill(method.client_secret, values) if self._has_secret else ""
        self.session = http.guard(OAuth2Session(client=grant, **session))

    @property
    def _has_secret(self) -> bool:
        return self.method.token_endpoint_auth_method != "none"

    def ask(self, *, secrets: tuple[str, ...] = (), wanted: tuple[str, ...] = (), **parameters) -> Token:
        """Send the request, read the answer. Raises TokenError.

        `secrets` are what the request holds besides the client's own, `wanted` the places in the answer
        that the manifest asks for.
        """
        requested_at = clock.now()
        parsed: list[Token] = []
        granted = {name: value for name, value in parameters.items() if name in GRANTED}
        filled = {**self.values, "redirect_uri": self.session.redirect_uri or "", **granted}
        in_body = names_in(self.method.token_body) - {"redirect_uri"}
        hidden = (self.client_secret, *secrets, *(filled[name] for name in in_body))

        def read(response):
            if self.keep:
                self.keep(response.status_code, response.content, requested_at)
            try:
                token = parse(
                    response.status_code,
                    response.content,
                    self.method.token_response,
                    requested_at=requested_at,
                    secrets=hidden,
                    wanted=wanted,
                )
            except TokenError as error:
                error.retry_after = retry_after.parse(response.headers.get("Retry-After", ""), clock.now())
                raise
            parsed.append(token)
            # oauthlib reads the answer once more; it gets one that it cannot stumble over.
            response._content = json.dumps({"access_token": "-", "token_type": "bearer"}).encode()
            return response

        # Not registered: those of an earlier request would stay.
        self.session.compliance_hook["access_token_response"] = {read}
        if self.method.token_body:
            body = fill_body(self.method.token_body, filled, "json")
            self.session.compliance_hook["access_token_request"] = {partial(_as_written, body)}
        elif self.method.token_request_format == "json":
            self.session.compliance_hook["access_token_request"] = {_as_json}
        extra = {name: fill(text, self.values) for name, text in self.method.token_params.items()}
        headers = {name: fill(text, self.values) for name, text in self.method.token_headers.items()}
        try:
            self.session.fetch_token(
                fill_url(self.method.token_endpoint, self.values),
                headers={"Accept": "application/json", **headers},
                **self._identity(),
                **{name: value for name, value in extra.items() if value},
                **parameters,
            )
        except http.Unreachable as error:
            raise unreachable(error) from error
        return parsed[0]

    def revoke(self, url: str, token: str, token_type_hint: str) -> None:
        """RFC 7009, section 2.1. Raises TokenError where the token may still live."""
        identity = self._identity()
        auth = identity.get("auth")
        form = {"token": token, "token_type_hint": token_type_hint}
        if not auth:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            response = http.send(
                url, auth or (lambda request: None), method="POST", headers=headers, data=body
            )
        except http.Unreachable as error:
            raise unreachable(error) from error
        # An unknown token is a success (section 2.2); 503 asks for another try (section 2.2.1).
        if response.status_code not in (200, 201, 204):
            code = "invalid_client" if response.status_code == 401 else "provider_unavailable"
            error = TokenError(code, f"status {response.status_code}")
            error.retry_after = retry_after.parse(response.headers.get("Retry-After", ""), clock.now())
            raise error

    def _identity(self) -> dict:
        """RFC 6749, section 2.3.1, and 3.2.1 for a public client."""
        if self.method.token_endpoint_auth_method == "client_secret_basic":
            # Form-encoded before Basic; the library sends them as they are.
            parts = (quote(part, safe="") for part in (self.client_id, self.client_secret))
            return {"auth": HTTPBasicAuth(*parts), "include_client_id": False}
        if self._has_secret:
            return {"client_secret": self.client_secret, "include_client_id": True}
        return {"include_client_id": bool(self.client_id)}


def unreachable(error: http.Unreachable) -> TokenError:
    code = "provider_answer_unreadable" if error.kind == "too_large" else "provider_unavailable"
    told = TokenError(code, str(error))
    # That we were busy ourselves says nothing about the provider.
    told.is_ours = error.kind == "busy"
    told.is_unknown = error.sent
    return told


def _as_json(url: str, headers: dict, request: dict):
    return url, headers, {"json": request["data"]}


def _as_written(body: str, url: str, headers: dict, request: dict):
    return url, {**headers, "Content-Type": "application/json"}, {"data": body.encode()}
