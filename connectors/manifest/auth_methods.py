"""The ways to authenticate, each named by its grant.

A method's `key` tells several of one type apart; it is its type where nothing else is said. In every
template the connector's properties stand for themselves, and `access_token` for the token.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from connectors.manifest.method import Injection, Method, ScopedMethod
from connectors.manifest.oauth1 import OAuth1, OAuth1Redirection
from connectors.manifest.vocabulary import Endpoint, Filled, Flag, Name, Part, Path, Text, Whole, names_in

# What an authorization or a token request says itself (RFC 6749, RFC 7636); no manifest overrides it.
RESERVED = {
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
    "state",
}
# What OAuth itself fills in.
GRANTED = {"access_token", "code", "code_verifier", "redirect_uri"}


class TokenResponse(Part):
    """Where a provider's token response departs from RFC 6749, section 5."""

    access_token: Path = "access_token"
    refresh_token: Path = "refresh_token"
    expires_in: Path = "expires_in"
    scope: Path = "scope"
    error: Path = "error"
    # False here means failure, whatever the status.
    ok: Path | Literal[""] = ""
    # The provider's own error codes, and the RFC's code for each; `*` for every other refusal.
    error_codes: dict[str, Literal["invalid_grant", "invalid_client", "redirect_uri_mismatch"]] = {}
    # Where it says how many seconds the refresh token lives; blank: it does not.
    refresh_expires_in: Path | Literal[""] = ""
    # Seconds that a token lives where the response does not say.
    default_expires_in: Whole | None = Field(default=None, gt=0)


class NoCredential(Method):
    """Nothing to enter and nothing to prove."""

    type: Literal["none"]


class ApiKey(Method):
    """One secret or several that the account has, put into each request as `inject` says."""

    type: Literal["api_key"]


def _names_properties_alone(key: str, templates: dict[str, str]) -> None:
    for name in sorted(names_in(*templates.values()) & GRANTED):
        raise ValueError(f"{key} can name properties, and not ${{{name}}}: that is for token_body")


class HttpBasic(Method):
    """RFC 7617. Either part may be composed, or be blank."""

    type: Literal["http_basic"]
    username: Filled = "${username}"
    password: Filled = "${password}"

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.username, self.password)


class AwsSignature(Method):
    """AWS Signature Version 4. Region and service are those of the host that is called, a regional one."""

    type: Literal["aws_signature"]
    access_key_id: Filled = "${access_key_id}"
    secret_access_key: Filled = "${secret_access_key}"

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.access_key_id, self.secret_access_key)


class _TokenMethod(ScopedMethod):
    """A method that asks a token endpoint."""

    token_endpoint: Endpoint
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] = (
        "client_secret_basic"
    )
    token_request_format: Literal["form", "json"] = "form"
    token_params: dict[str, Filled] = {}
    token_headers: dict[str, Filled] = {}
    # The whole JSON of the request, for endpoints that know no parameters of RFC 6749; besides the
    # properties it may name code, code_verifier and redirect_uri.
    token_body: Filled = ""
    token_response: TokenResponse = TokenResponse()
    client_id: Filled = "${client_id}"
    client_secret: Filled = "${client_secret}"
    inject: Injection = Injection(headers={"Authorization": "Bearer ${access_token}"})

    @model_validator(mode="after")
    def _overrides_nothing(self) -> Self:
        if taken := sorted(RESERVED & set(self.token_params)):
            raise ValueError(f"token_params cannot set {taken[0]}: the request says it itself")
        _names_properties_alone("token_params", self.token_params)
        _names_properties_alone("token_headers", self.token_headers)
        if self.token_body and (self.token_params or self.token_request_format != "json"):
            raise ValueError("token_body is the whole request, in JSON: no token_params beside it")
        return self

    @property
    def is_oauth(self) -> bool:
        return True

    @property
    def granted(self) -> set[str]:
        return GRANTED

    @property
    def client(self) -> tuple[str, ...]:
        has_secret = self.token_endpoint_auth_method != "none"
        return (self.client_id, self.client_secret) if has_secret else (self.client_id,)

    @property
    def templates(self) -> tuple[str, ...]:
        request = (*self.token_params.values(), *self.token_headers.values(), self.token_body)
        return (*super().templates, *self.urls, *request, *self.client)

    @property
    def urls(self) -> tuple[str, ...]:
        return (*super().urls, self.token_endpoint)


class AuthorizationCode(_TokenMethod):
    """RFC 6749, section 4.1, with PKCE (RFC 7636) S256 unless `no_pkce` says why not."""

    type: Literal["authorization_code"]
    authorization_endpoint: Endpoint
    revocation_endpoint: Endpoint | Literal[""] = ""
    authorization_params: dict[str, Filled] = {}
    token_request_method: Literal["POST", "GET"] = "POST"
    # What becomes of a refresh token that was used (RFC 9700, section 4.14.2), and so what may be done where
    # the answer to a renewal was lost: "grace" and "none" allow another try, "single_use" makes it useless,
    # with "single_use_revokes_family" it would end the whole grant.
    rotation: Literal["none", "grace", "single_use", "single_use_revokes_family"] = "none"
    send_response_type: Flag = True
    # The parameter of the answer that holds the code.
    code_param: Name = "code"
    no_pkce: Text | Literal[""] = ""
    # RFC 9207: compared with `iss` of the answer, as plain text, where both are there.
    issuer: str = ""
    # Asked for as well, and not missed where they are not granted.
    optional_scopes: tuple[Text, ...] = ()
    optional_scopes_param: str = ""

    @model_validator(mode="after")
    def _answers_for_itself(self) -> Self:
        if taken := sorted(RESERVED & set(self.authorization_params)):
            raise ValueError(f"authorization_params cannot set {taken[0]}: the request says it itself")
        _names_properties_alone("authorization_params", self.authorization_params)
        return self

    @property
    def is_interactive(self) -> bool:
        return True

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, *self.authorization_params.values())

    @property
    def urls(self) -> tuple[str, ...]:
        endpoints = (self.authorization_endpoint, self.token_endpoint, self.revocation_endpoint)
        return (*Method.urls.fget(self), *filter(None, endpoints))


class ClientCredentials(_TokenMethod):
    """RFC 6749, section 4.4."""

    type: Literal["client_credentials"]


class Password(_TokenMethod):
    """RFC 6749, section 4.3: where a provider offers nothing better."""

    type: Literal["password"]
    username: Filled = "${username}"
    password: Filled = "${password}"

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.username, self.password)


class PastedGrant(_TokenMethod):
    """A refresh token (RFC 6749, section 6) or a code (4.1.3) that the account obtained at the provider."""

    type: Literal["pasted_grant"]
    grant: Literal["refresh_token", "authorization_code"]
    value: Filled

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.value)


class JwtBearer(_TokenMethod):
    """RFC 7523, section 2.1: a service account signs who it is, with RS256; scopes are a claim of it."""

    type: Literal["jwt_bearer"]
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] = "none"
    private_key: Filled = "${private_key}"
    issuer: Filled
    # The user to act for; blank: the issuer itself.
    subject: Filled = ""
    audience: Filled
    client_id: Filled = ""

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.private_key, self.issuer, self.subject, self.audience)


AuthMethod = Annotated[
    NoCredential
    | ApiKey
    | HttpBasic
    | OAuth1
    | OAuth1Redirection
    | AwsSignature
    | AuthorizationCode
    | ClientCredentials
    | Password
    | PastedGrant
    | JwtBearer,
    Field(discriminator="type"),
]


def values_of(method: AuthMethod) -> set[str]:
    """The placeholders that this method uses, apart from what it obtains."""
    return names_in(*method.templates) - method.granted
