"""OAuth 1.0a (RFC 5849), without and with a redirect."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from connectors.manifest.method import Method, ScopedMethod
from connectors.manifest.vocabulary import Endpoint, Filled

# What an authorization request says itself (section 2.2), and the scopes that some providers add to it.
RESERVED_OF_OAUTH1 = {"oauth_callback", "oauth_token", "oauth_verifier", "scope"}


class SigningMethod(Method):
    """OAuth 1.0a (RFC 5849): every request is signed with the secrets of a client and of a token."""

    consumer_key: Filled = "${consumer_key}"
    consumer_secret: Filled = "${consumer_secret}"
    signature_method: Literal["HMAC-SHA1", "HMAC-SHA256"] = "HMAC-SHA256"

    @property
    def client(self) -> tuple[str, ...]:
        return (self.consumer_key, self.consumer_secret)

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, *self.client)


class OAuth1(SigningMethod):
    """OAuth 1.0a with tokens that the account makes at the provider: no redirect."""

    type: Literal["oauth1"]
    token: Filled = "${token}"
    token_secret: Filled = "${token_secret}"
    realm: Filled = ""

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, self.token, self.token_secret, self.realm)


class OAuth1Redirection(SigningMethod, ScopedMethod):
    """OAuth 1.0a with redirection-based authorization (RFC 5849, section 2)."""

    type: Literal["oauth1_redirection"]
    temporary_credentials_endpoint: Endpoint
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    authorization_params: dict[str, Filled] = {}
    # The token credentials (section 2.3), which are obtained and not entered.
    token: ClassVar[str] = "${access_token}"
    token_secret: ClassVar[str] = "${token_secret}"
    realm: ClassVar[str] = ""

    @model_validator(mode="after")
    def _answers_for_itself(self) -> Self:
        if taken := sorted(RESERVED_OF_OAUTH1 & set(self.authorization_params)):
            raise ValueError(f"authorization_params cannot set {taken[0]}: the request says it itself")
        return self

    @property
    def is_interactive(self) -> bool:
        return True

    @property
    def granted(self) -> set[str]:
        return {"access_token", "token_secret"}

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, *self.urls, *self.authorization_params.values())

    @property
    def urls(self) -> tuple[str, ...]:
        endpoints = (self.temporary_credentials_endpoint, self.authorization_endpoint, self.token_endpoint)
        return (*super().urls, *endpoints)
