"""The typed definition of a connector: what library/<slug>/manifest.toml may say.

Unknown keys are errors. Placeholders are those of string.Template, names only: `${host}`; a value
that reaches a host name must have a pattern, which is matched in full before it is used.
"""

import re
import tomllib
from pathlib import Path
from string import Template
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
HttpsTemplate = Annotated[str, StringConstraints(pattern=r"^https://[^\s?#@]+$")]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
MethodType = Literal["api_key", "authorization_code"]


class BadManifest(Exception):
    """A manifest that cannot be used. The text names the file, the dotted field and what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Property(_Part):
    """One value that a connector needs, and who supplies it."""

    name: Name
    label: Text
    description: Text
    level: Literal["account", "partner_else_account"]
    auth_methods: tuple[MethodType, ...]
    secret: bool = True
    required: bool = True
    # Asked only when the automatic look-up of the account's address failed.
    fallback: bool = False
    pattern: Pattern = ""
    pattern_message: str = ""
    suffix: str = ""
    # Headings of guide.md, as anchors; each reader sees those of their own half.
    help_anchors: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _pattern_is_explained(self) -> Self:
        if self.pattern and not self.pattern_message:
            raise ValueError("pattern_message must say what the pattern allows")
        return self


class AuthMethod(_Part):
    """One way to authenticate, named by its grant. The endpoints belong to authorization_code."""

    type: MethodType
    label: Text
    summary: Text
    help_anchors: tuple[str, ...] = ()
    # What is put into every request to the provider.
    header: Text = "Authorization"
    header_value: Text = "Bearer ${access_token}"

    authorization_endpoint: HttpsTemplate = ""
    token_endpoint: HttpsTemplate = ""
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    token_request_method: Literal["POST", "GET"] = "POST"
    send_response_type: bool = True
    # RFC 9207: compared with `iss` of the answer, as plain text, where both are there.
    issuer: str = ""
    default_scopes: tuple[Text, ...] = ()
    # What a scope allows, in the provider's own words, for the person who is asked.
    scope_labels: dict[str, Text] = {}

    @model_validator(mode="after")
    def _endpoints_are_there(self) -> Self:
        if self.type == "authorization_code" and not (self.authorization_endpoint and self.token_endpoint):
            raise ValueError("authorization_code needs authorization_endpoint and token_endpoint")
        return self


class Discovery(_Part):
    """How the credential itself tells where its account lives."""

    url: HttpsTemplate
    key: Text
    property: Name
    pattern: Annotated[Pattern, StringConstraints(min_length=1)]
    # Built from the fallback property where the look-up fails.
    fallback_template: Text


class Verification(_Part):
    """The call that asks "who am I?" and the keys of its answer, dotted, the first found counts."""

    url: HttpsTemplate
    account_id: Text
    account_name: tuple[Text, ...] = ()
    account_name_url: HttpsTemplate = ""
    account_name_key: str = ""
    user_name: tuple[Text, ...] = ()


class Manifest(_Part):
    """A connector. `slug` is the name of its folder."""

    slug: Slug
    name: Text
    summary: Text
    website: HttpsTemplate
    aliases: tuple[Text, ...] = ()
    categories: tuple[Text, ...] = ()
    source: tuple[Text, ...]
    # Said when an installation is disconnected, where the provider has no revocation endpoint.
    disconnect_note: str = ""
    auth_methods: tuple[AuthMethod, ...] = Field(min_length=1)
    properties: tuple[Property, ...] = ()
    discovery: Discovery | None = None
    verification: Verification

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        types = [method.type for method in self.auth_methods]
        names = [prop.name for prop in self.properties]
        for what, values in (("auth method", types), ("property", names)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"the {what} {value!r} stands here twice")
        for prop in self.properties:
            if stray := set(prop.auth_methods) - set(types):
                raise ValueError(
                    f"property {prop.name!r} names the auth method {stray.pop()!r}, which is not here"
                )
        known = {*names, *([self.discovery.property] if self.discovery else [])}
        urls = (self.verification.url, self.verification.account_name_url)
        fallback = self.discovery.fallback_template if self.discovery else ""
        for template in (*urls, self.verification.account_id, fallback):
            if not Template(template).is_valid():
                raise ValueError(f"{template} has a $ that begins no placeholder")
            for name in Template(template).get_identifiers():
                if name not in known:
                    raise ValueError(f"${{{name}}} in {template} is not a property")
        for template in urls:
            for name in Template(urlsplit(template).netloc).get_identifiers():
                if name in names and not self.property_named(name).pattern:
                    raise ValueError(f"property {name!r} reaches a host name and needs a pattern")
        return self

    def method(self, type: str) -> AuthMethod:
        return next(method for method in self.auth_methods if method.type == type)

    def property_named(self, name: str) -> Property:
        return next(prop for prop in self.properties if prop.name == name)

    @property
    def partner_properties(self) -> tuple[Property, ...]:
        """What a partner may store once for all installations."""
        return tuple(prop for prop in self.properties if prop.level == "partner_else_account")

    @property
    def has_scopes(self) -> bool:
        return any(method.default_scopes for method in self.auth_methods)


def load(folder: Path) -> Manifest:
    """Read and check folder/manifest.toml. Raises BadManifest."""
    path = folder / "manifest.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest(slug=folder.name, **data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise BadManifest(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: {'.'.join(map(str, found['loc'])) or 'manifest'}: {found['msg']}"
            for found in error.errors()
        )
        raise BadManifest("\n".join(lines)) from error
