"""A connector as a whole: what library/<slug>/manifest.toml may say."""

import re
from string import Template
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from connectors.manifest.auth_methods import AuthMethod, values_of
from connectors.manifest.properties import Property
from connectors.manifest.verification import Discovery, Verification
from connectors.manifest.vocabulary import (
    Category,
    HttpsTemplate,
    HttpsUrl,
    Line,
    Misplaced,
    Name,
    Part,
    Slug,
    SourceUrl,
    Text,
    Version,
    names_in,
    nearest,
)
from connectors.manifest.webhook import Webhook


class Manifest(Part):
    """A connector. `slug` is the name of its folder."""

    slug: Slug
    version: Version
    name: Line = Field(max_length=60)
    summary: Text = Field(max_length=200)
    website: HttpsUrl
    aliases: tuple[Text, ...] = ()
    categories: tuple[Category, ...] = Field(min_length=1)
    # The provider's own pages that this manifest was written from.
    source: tuple[SourceUrl, ...] = Field(min_length=1)
    # What no such page confirms, a sentence each.
    unverified: tuple[Text, ...] = ()
    # Where the provider's API begins; blank for what does not speak HTTP.
    base_url: HttpsTemplate | Literal[""] = ""
    # Said when an installation is disconnected, where the provider has no revocation endpoint.
    disconnect_note: str = ""
    # How often each installation is checked.
    check_hours: int = Field(default=24, ge=1, le=168)
    # A choice that leads to the auth method, in place of the methods' own labels.
    method_property: Name | None = None
    auth_methods: tuple[AuthMethod, ...] = Field(min_length=1)
    properties: tuple[Property, ...] = ()
    discovery: Discovery | None = None
    verification: Verification
    # What the provider sends by itself.
    webhook: Webhook | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        keys = [method.key for method in self.auth_methods]
        names = [prop.name for prop in self.properties]
        for key, what, values in (("auth_methods", "key", keys), ("properties", "name", names)):
            for index, value in enumerate(values):
                if value in values[:index]:
                    raise Misplaced(f"{key}.{index}.{what}", f"{value!r} stands here twice")
        for method in self.auth_methods:
            own = {prop.name for prop in self.properties_for(method.key)}
            if hidden := sorted(own & method.granted):
                place = f"properties.{names.index(hidden[0])}.name"
                raise Misplaced(
                    place, f"{hidden[0]!r} would hide what the auth method {method.key!r} obtains"
                )
        for index, prop in enumerate(self.properties):
            for stray in sorted(set(prop.auth_methods) - set(keys)):
                place = f"properties.{index}.auth_methods"
                raise Misplaced(place, f"{stray!r} is the key of no auth method; {nearest(stray, keys)}")
            for key in ("visible_if", "required_if"):
                for name, allowed in getattr(prop, key).items():
                    self._check_condition(f"properties.{index}.{key}.{name}", name, allowed)
        return self

    def _check_condition(self, place: str, name: str, allowed: tuple[str, ...]) -> None:
        names = [prop.name for prop in self.properties]
        if name not in names:
            raise Misplaced(place, f"{name!r} is not a property; {nearest(name, names)}")
        prop = self.property_named(name)
        known = {"true", "false"} if prop.type == "boolean" else {choice.value for choice in prop.choices}
        for stray in sorted(set(allowed) - known if known else ()):
            raise Misplaced(place, f"{name} is never {stray!r}; {nearest(stray, known)}")

    @model_validator(mode="after")
    def _speaks_http(self) -> Self:
        if (
            any(self.verification_for(method).type == "http" for method in self.auth_methods)
            and not self.base_url
        ):
            raise Misplaced("base_url", "is missing: it says where the provider's API begins")
        return self

    @model_validator(mode="after")
    def _methods_can_be_chosen(self) -> Self:
        if self.method_property is None:
            if any(method.chosen_by for method in self.auth_methods):
                raise Misplaced("method_property", "is missing: chosen_by names choices of it")
            return self
        names = [prop.name for prop in self.properties]
        if self.method_property not in names:
            hint = nearest(self.method_property, names)
            raise Misplaced("method_property", f"{self.method_property!r} is not a property; {hint}")
        offered = [choice.value for choice in self.property_named(self.method_property).choices]
        chosen = [value for method in self.auth_methods for value in method.chosen_by]
        if sorted(offered) != sorted(chosen):
            raise Misplaced(
                "auth_methods", f"each choice of {self.method_property!r} must be in one's chosen_by"
            )
        return self

    @model_validator(mode="after")
    def _placeholders_are_filled(self) -> Self:
        for index, prop in enumerate(self.properties):
            self._check_placeholders(f"properties.{index}.template", prop.template)
            if prop.lookup:
                self._check_placeholders(f"properties.{index}.lookup.url", prop.lookup.url)
        for index, method in enumerate(self.auth_methods):
            known = {prop.name for prop in self.properties_for(method.key)} | self._found
            for name in sorted(values_of(method) - known):
                said = f"${{{name}}} is not a property of this auth method; {nearest(name, known)}"
                raise Misplaced(f"auth_methods.{index}", said)
        self._check_placeholders("base_url", self.base_url)
        self._check_placeholders("verification", *self.verification.templates)
        if self.discovery:
            self._check_placeholders("discovery", self.discovery.url, self.discovery.fallback_template)
        hosts = names_in(*(urlsplit(url).netloc for url in self.urls))
        for index, prop in enumerate(self.properties):
            if prop.name in hosts and not self._is_confined(prop):
                said = (
                    f"{prop.name!r} reaches a host name: it needs a pattern, choices or the format hostname"
                )
                raise Misplaced(f"properties.{index}", said)
        return self

    def _is_confined(self, prop: Property) -> bool:
        if prop.template:
            return all(
                self._is_confined(self.property_named(name))
                for name in Template(prop.template).get_identifiers()
                if name in [known.name for known in self.properties]
            )
        return prop.is_confined

    def _check_placeholders(self, place: str, *templates: str) -> None:
        for template in templates:
            for name in sorted(names_in(template) - self.known_names):
                hint = nearest(name, self.known_names)
                raise Misplaced(place, f"${{{name}}} in {template} is not a property; {hint}")

    @property
    def _found(self) -> set[str]:
        return {self.discovery.property} if self.discovery else set()

    @property
    def known_names(self) -> set[str]:
        return {prop.name for prop in self.properties} | self._found

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address that we may call or send a browser to."""
        lookups = [prop.lookup.url for prop in self.properties if prop.lookup]
        methods = [url for method in self.auth_methods for url in method.urls]
        discovery = [self.discovery.url] if self.discovery else []
        base = [self.base_url] if self.base_url else []
        return (*base, *self.verification.urls, *methods, *lookups, *discovery)

    def method(self, key: str) -> AuthMethod:
        return next(method for method in self.auth_methods if method.key == key)

    def verification_for(self, method: AuthMethod) -> Verification:
        return method.verification or self.verification

    def property_named(self, name: str) -> Property:
        return next(prop for prop in self.properties if prop.name == name)

    def properties_for(self, key: str) -> list[Property]:
        """The properties that apply to one auth method."""
        return [prop for prop in self.properties if not prop.auth_methods or key in prop.auth_methods]

    @property
    def partner_properties(self) -> tuple[Property, ...]:
        """What a partner may store once for all installations."""
        return tuple(prop for prop in self.properties if prop.level in ("partner", "partner_else_account"))

    def client_registration(self, key: str) -> set[str]:
        """The partner's properties that together are who asks at the provider: whole, or of no use."""
        templates = [text for method in self.auth_methods if method.key == key for text in method.client]
        return {prop.name for prop in self.partner_properties} & names_in(*templates)

    @property
    def client_properties(self) -> set[str]:
        """The partner's properties that make its OAuth client, whichever way leads through it."""
        oauth = (method.key for method in self.auth_methods if method.is_oauth)
        return set().union(*(self.client_registration(key) for key in oauth))

    @property
    def scoped_method(self) -> AuthMethod | None:
        """The auth method whose scopes a partner can change: the first that asks for some."""
        return next((method for method in self.auth_methods if getattr(method, "default_scopes", ())), None)

    @property
    def has_redirect(self) -> bool:
        return any(method.is_interactive for method in self.auth_methods)

    @property
    def number(self) -> tuple[int, int]:
        """The version as numbers: (major, minor)."""
        major, minor = re.findall(r"[0-9]+", self.version)
        return int(major), int(minor)
