"""The format says what real connectors need, and nothing else.

A kind of value that loses its connector is proven no longer; a key that none uses was made for nobody.
"""

import typing
from collections.abc import Callable
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from connectors import registry
from connectors.manifest import (
    Manifest,
    Property,
    auth_methods,
    definition,
    json_schema,
    method,
    oauth1,
    properties,
    verification,
    webhook,
)


class Proof(NamedTuple):
    """A connector, its property, and what must be true of them."""

    slug: str
    name: str
    holds: Callable[[Manifest, Property], bool] = lambda manifest, prop: True


def way(manifest: Manifest, key: str):
    return next(method for method in manifest.auth_methods if method.key == key)


def has(**values) -> Callable[[Manifest, Property], bool]:
    """The property has these attributes, and no others by these names."""
    return lambda manifest, prop: all(getattr(prop, name) == value for name, value in values.items())


def options(prop: Property) -> set[str]:
    return {choice.value for choice in prop.choices}


def in_a_header(manifest: Manifest, prop: Property) -> bool:
    headers = [text for method in manifest.auth_methods for text in method.inject.headers.values()]
    return any(f"${{{prop.name}}}" in text for text in headers)


KINDS = {
    "1 client ID, by its provider's name": Proof("facebook-messenger", "client_id", has(label="App ID")),
    "2 client secret that may be blank": Proof(
        "zenoti", "client_secret", has(required=False, is_secret=True)
    ),
    "4 scopes, with commas or spaces between": Proof(
        "facebook-messenger", "client_id", lambda m, p: m.scoped_method.scope_separator == ","
    ),
    "4b optional scopes": Proof("hubspot", "client_id", lambda m, p: bool(m.scoped_method.optional_scopes)),
    "5 authorization endpoint of the customer's own": Proof(
        "salesforce",
        "my_domain",
        lambda m, p: "${my_domain}" in way(m, "my_domain").authorization_endpoint,
    ),
    "6 token endpoint of the customer's own": Proof(
        "fabric",
        "auth_host",
        lambda m, p: "${auth_host}" in way(m, "client_credentials").token_endpoint,
    ),
    "7 resource or audience": Proof(
        "dynamics-crm",
        "environment",
        lambda m, p: any("${environment}" in scope for way in m.auth_methods for scope in way.templates),
    ),
    "8 tenant ID": Proof("dynamics-crm", "tenant_id", has(format="uuid")),
    "9 delegated or application access": Proof(
        "dynamics-crm",
        "app_id",
        lambda m, p: (
            {"authorization_code", "client_credentials"} <= {method.type for method in m.auth_methods}
        ),
    ),
    "10 API key": Proof("copper", "api_key", has(is_secret=True, level="account")),
    "11 second secret": Proof("twilio", "api_key_secret", has(is_secret=True)),
    "12 user name under another label": Proof("copper", "email", has(label="E-mail address", format="email")),
    "13 password, which may have to be blank": Proof(
        "insightly", "api_key", lambda m, p: way(m, "http_basic").password == ""
    ),
    "14 secret of the first time only": Proof(
        "zoho-crm", "one_time_code", has(one_time=True, is_secret=True)
    ),
    "15 pasted refresh token": Proof(
        "amazon-seller-central",
        "refresh_token",
        lambda m, p: way(m, "pasted_grant").grant == "refresh_token",
    ),
    "16 key of the partner beside the customer's": Proof(
        "bookeo", "secret_key", lambda m, p: p.level.startswith("partner") and in_a_header(m, p)
    ),
    "17 AWS access key pair": Proof(
        "amazon-s3", "secret_access_key", lambda m, p: bool(way(m, "aws_signature"))
    ),
    "18 OAuth 1 consumer and token pairs": Proof(
        "netsuite", "token_secret", lambda m, p: bool(m.property_named("consumer_secret"))
    ),
    "19 private key, with and without its first and last line": Proof(
        "google-calendar",
        "private_key",
        has(type="multiline", format="pem", normalise=("unescape_newlines", "pem_armour")),
    ),
    "20 passphrase": Proof("sftp", "passphrase", has(is_secret=True, required=False)),
    "21 certificate, and whether to look at it": Proof(
        "mysql",
        "ssl_certificate",
        lambda m, p: p.format == "pem" and "VERIFY_CA" in options(m.property_named("ssl_mode")),
    ),
    "22 service account and the user it acts for": Proof(
        "google-calendar",
        "user_email",
        lambda m, p: way(m, "service_account").subject == "${user_email}",
    ),
    "23 key that signs": Proof(
        "netsuite",
        "consumer_secret",
        lambda m, p: way(m, "oauth1").signature_method == "HMAC-SHA256",
    ),
    "24 verify token of a webhook": Proof("facebook-messenger", "verify_token", has(level="partner")),
    "24b webhook as a credential": Proof("bitrix24", "webhook_code", has(is_secret=True)),
    "25 host": Proof("bitrix24", "domain", has(format="hostname")),
    "25b host by address": Proof("postgresql", "host", has(format="host")),
    "26 subdomain before a fixed rest": Proof("zendesk", "subdomain", has(suffix=".zendesk.com")),
    "27 base URL with a default": Proof("gitlab", "own_host", has(default="gitlab.com")),
    "27b base URL with a port": Proof(
        "elasticsearch", "host", lambda m, p: p.fault("search.example.com:8443") == ""
    ),
    "27c whole address": Proof("google-search-console", "site_url", has(format="url")),
    "28 one of several hosts": Proof("surveymonkey", "token_host", has(type="choice")),
    "29 region": Proof("amazon-s3", "region", has(type="choice")),
    "30 pod, stage or data centre": Proof("insightly", "pod", has(prefix="api.", suffix=".insightly.com")),
    "31 environment that decides the way to connect": Proof(
        "tiktok-business", "environment", lambda m, p: m.method_property == p.name
    ),
    "32 port": Proof("mongodb", "port", has(format="port", default="27017")),
    "33 prefix of a protocol": Proof(
        "mongodb", "prefix", lambda m, p: options(p) == {"mongodb", "mongodb+srv"}
    ),
    "34 version of the API": Proof("salesforce", "api_version", has(default="v62.0", level="partner")),
    "35 properties of a connection string": Proof("mongodb", "connection_properties", has(prefix="?")),
    "36 ID of an account, with its form": Proof(
        "pardot", "business_unit_id", lambda m, p: bool(p.pattern and p.pattern_message)
    ),
    "37 ID of a key or an application": Proof("twilio", "api_key_sid", has(secret=False)),
    "38 composed of several": Proof(
        "zendesk", "email", lambda m, p: way(m, "api_token").username == "${email}/token"
    ),
    "39 database, schema, warehouse": Proof("snowflake", "warehouse", has(level="account")),
    "39b folder": Proof("amazon-s3", "folder", has(format="path", required=False)),
    "40 list of the provider, after the sign-in": Proof("airtable", "base_id", has(type="lookup")),
    "41 yes or no, with a default": Proof("postgresql", "use_ssl", has(type="boolean", default="true")),
    "42 group under a condition": Proof(
        "postgresql", "ssh_host", lambda m, p: p.visible_if == {"ssh_tunnel": ("true",)}
    ),
    "43 time zone": Proof("sftp", "time_zone", has(format="timezone", default="UTC")),
    "44 User-Agent": Proof(
        "open-food-facts",
        "user_agent",
        lambda m, p: way(m, "none").inject.headers == {"User-Agent": "${user_agent}"},
    ),
    "45 constant": Proof("pardot", "production_host", has(level="system", constant="pi")),
    "46 found in the token response": Proof("salesforce", "instance", has(token_response="instance_url")),
    "46b found in the answer about consent": Proof("quickbooks-online", "realm_id", has(callback="realmId")),
    "47 optional text": Proof("fabric", "source", has(required=False, secret=False)),
}


@pytest.mark.parametrize(("slug", "name", "holds"), KINDS.values(), ids=KINDS)
def test_a_kind_of_value_has_a_connector_that_needs_it(slug, name, holds):
    manifest = registry.get(slug).manifest
    assert name in [prop.name for prop in manifest.properties]
    assert holds(manifest, manifest.property_named(name))


def test_kind_3_the_redirect_uri_is_shown_wherever_one_is_registered():
    for connector in registry.all().values():
        if connector.manifest.has_redirect:
            assert "${redirect_uri}" in connector.files.guide, connector.slug


def test_kind_48_some_connectors_ask_a_customer_for_nothing():
    manifest = registry.get("close").manifest
    asked = [p for p in manifest.properties_for("authorization_code") if p.level == "account"]
    assert asked == []


# What beside its kind may be said of a value.
ATTRIBUTES = {
    "level partner": Proof("zenoti", "client_id", has(level="partner")),
    "level partner, else account": Proof("bookeo", "secret_key", has(level="partner_else_account")),
    "level account": Proof("copper", "api_key", has(level="account")),
    "level system": Proof("gitlab", "host", has(level="system")),
    "for some ways to connect only": Proof(
        "asana", "personal_access_token", has(auth_methods=("personal_access_token",))
    ),
    "required under a condition": Proof(
        "bigquery", "dataset_id", has(required_if={"one_dataset": ("true",)})
    ),
    "visible under a condition": Proof(
        "microsoft-sql-server", "ssh_password", lambda m, p: len(p.visible_if) == 2
    ),
    "injection into the body": Proof(
        "mailchimp-transactional",
        "api_key",
        lambda m, p: way(m, "api_key").inject.body == {"key": "${api_key}"},
    ),
    "format e-mail": Proof("jira", "email", has(format="email")),
    "format whole number": Proof("fabric", "sales_channel", has(format="integer")),
    "normaliser upper": Proof("netsuite", "account_id", has(normalise=("strip_spaces", "upper"))),
    "normaliser digits": Proof("google-ads", "customer_id", has(normalise=("digits_only",))),
    "normaliser hyphens": Proof(
        "netsuite", "account_domain", lambda m, p: "hyphens_for_underscores" in p.normalise
    ),
    "normaliser scheme and path": Proof(
        "jira", "site", has(normalise=("lower", "strip_scheme", "strip_path"))
    ),
    "group": Proof("mongodb", "host", lambda m, p: bool(p.group)),
    "placeholder, example, help": Proof(
        "zendesk", "subdomain", lambda m, p: bool(p.placeholder and p.example and p.help_anchors)
    ),
    "template": Proof("gitlab", "host", has(template="${gitlab_com}${own_host}")),
    "into a header": Proof("bookeo", "api_key", in_a_header),
    "into the query": Proof(
        "trello", "token", lambda m, p: any("${token}" in x.inject.query.values() for x in m.auth_methods)
    ),
    "into the address": Proof(
        "bitrix24", "webhook_code", lambda m, p: "${webhook_code}" in m.verification.url
    ),
    "into the body": Proof(
        "zenoti", "account_name", lambda m, p: "${account_name}" in way(m, "password").token_body
    ),
    "asked for only if the look-up fails": Proof("heartland-retail", "subdomain", has(fallback=True)),
}


@pytest.mark.parametrize(("slug", "name", "holds"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_an_attribute_has_a_connector_that_needs_it(slug, name, holds):
    manifest = registry.get(slug).manifest
    assert name in [prop.name for prop in manifest.properties]
    assert holds(manifest, manifest.property_named(name))


# ── and nothing else ────────────────────────────────────────────────────────────────────────────


MODELS = {
    value
    for module in (auth_methods, definition, method, oauth1, properties, verification)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
}
# Where a lifetime stands is as much a liberty of providers as where the token does.
SPARE = {"TokenResponse.expires_in"}


def where_it_is_said(model: type[BaseModel], key: str) -> str:
    """The class that brings a key in; those that inherit it share it."""
    first = next(
        parent for parent in reversed(model.__mro__) if key in getattr(parent, "__annotations__", {})
    )
    return f"{first.__name__}.{key}"


def keys_of(part: BaseModel):
    """The keys that a connector writes down, those of its parts too."""
    for key in part.model_fields_set:
        yield where_it_is_said(type(part), key)
        value = getattr(part, key)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, BaseModel):
                yield from keys_of(inner)


def test_each_key_of_the_format_is_used_by_a_connector():
    used = {key for connector in registry.all().values() for key in keys_of(connector.manifest)}
    unused = {
        where_it_is_said(model, key)
        for model in MODELS
        for key, field in model.model_fields.items()
        # What is filled in where nothing is said is used wherever nothing is said.
        if not (isinstance(field.default, str) and (key == "type" or "$" in field.default))
    } - used
    assert unused == SPARE


def words_of(annotation):
    """The words that a key may have, where they are few."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    for inner in typing.get_args(annotation):
        if not isinstance(inner, str | int):
            yield from words_of(inner)


def values_of(part: BaseModel):
    """What the keys of a connector have for their values, those of its parts too, written down or not."""
    for key in type(part).model_fields:
        value = getattr(part, key)
        several = (
            value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,)
        )
        for inner in several:
            if isinstance(inner, BaseModel):
                yield from values_of(inner)
            else:
                yield where_it_is_said(type(part), key), inner


def test_each_word_that_a_key_may_have_is_used_by_a_connector():
    used = {
        (key, value)
        for connector in registry.all().values()
        for key, value in values_of(connector.manifest)
        if isinstance(value, str)
    }
    known = {
        (where_it_is_said(model, key), word)
        for model in MODELS | webhook_parts()
        for key, field in model.model_fields.items()
        for word in words_of(field.annotation)
    }
    assert len(known) > 50
    assert known - used == set()


def webhook_parts() -> set[type[BaseModel]]:
    kinds = (value for value in vars(webhook).values() if isinstance(value, type))
    return {kind for kind in kinds if issubclass(kind, BaseModel) and kind.__module__ == webhook.__name__}


def test_each_way_to_connect_is_used_by_a_connector():
    used = {method.type for found in registry.all().values() for method in found.manifest.auth_methods}
    known = json_schema()["properties"]["auth_methods"]["items"]["discriminator"]["mapping"]
    assert set(known) == used
