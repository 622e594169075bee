"""A connector's values for one installation, and the templates that they fill.

Trust changes hands here: a value comes from a form, a provider's answer or a manifest, and goes into an
address, a header or a body. Each place has its own escaping; a host name takes none, only known forms.
"""

import json
import re
from collections.abc import Iterable, Mapping
from string import Template
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from connectors.manifest import Manifest, holds
from connectors.manifest.vocabulary import names_in

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.IGNORECASE)
_ESCAPES = {
    "json": lambda text: json.dumps(text)[1:-1],
    "form": lambda text: quote(text, safe=""),
    "xml": lambda text: escape(text, {'"': "&quot;", "'": "&apos;"}),
}


class BadValue(Exception):
    """A value that must not go where a template puts it. The text names the property, not the value."""


def resolve(
    manifest: Manifest, auth_method: str, partner: Mapping[str, str], *others: Mapping[str, str]
) -> dict[str, str]:
    """Every value known for this way of connecting; what the partner stored counts first.

    `others` are what the account entered, what was found and what the credential holds, later ones first.
    A property that has no value is "", so that an optional one leaves its place empty.
    """
    values: dict[str, str] = {}
    given = {name: value for source in others for name, value in source.items()}
    for prop in manifest.properties_for(auth_method):
        stored = partner.get(prop.name, "") if prop.level in ("partner", "partner_else_account") else ""
        values[prop.name] = stored or given.get(prop.name) or prop.constant or prop.default
    for prop in manifest.properties_for(auth_method):
        if not holds(prop.visible_if, values):
            values[prop.name] = ""
    if discovery := manifest.discovery:
        values[discovery.property] = given.get(discovery.property, "")
    for prop in manifest.properties_for(auth_method):
        if prop.template:
            parts = {name: values.get(name, "") for name in names_in(prop.template)}
            # Composed of nothing it is nothing, and not a lonely separator.
            composed = Template(prop.template).substitute(parts) if any(parts.values()) else ""
            values[prop.name] = prop.normalised(composed)
    return values


def fill(template: str, values: Mapping[str, str]) -> str:
    """A header, a name, a key: as it is. Raises BadValue where it would begin another line."""
    text = Template(template).substitute(values)
    if any(char in text for char in "\r\n\0"):
        raise BadValue(f"a line break in {', '.join(sorted(names_in(template)))}")
    return text


def fill_url(template: str, values: Mapping[str, str], *, paths: frozenset[str] = frozenset()) -> str:
    """An address: host names of known form only, everything behind them percent-encoded.

    `paths` are the properties whose slashes stay. Raises BadValue.
    """
    scheme, _, rest = template.partition("://")
    cut = min((rest.index(char) for char in "/?" if char in rest), default=len(rest))
    host = Template(rest[:cut]).substitute(values)
    if not _HOST.fullmatch(host) or ".." in host:
        raise BadValue(f"{', '.join(sorted(names_in(rest[:cut]))) or 'the host'} makes no host name")
    encoded = {name: quote(str(value), safe="/" if name in paths else "") for name, value in values.items()}
    tail = Template(rest[cut:]).substitute(encoded)
    if any(part in (".", "..") for part in tail.partition("?")[0].split("/")):
        raise BadValue(f"{', '.join(sorted(names_in(rest[cut:])))} leads out of its place")
    return f"{scheme}://{host}{tail}"


def fill_body(template: str, values: Mapping[str, str], body_format: str) -> str:
    escape_for = _ESCAPES[body_format]
    return Template(template).substitute({name: escape_for(str(value)) for name, value in values.items()})


def fill_scopes(scopes: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Each scope filled in. Raises BadValue where one would become two (RFC 6749, section 3.3)."""
    filled = [Template(scope).safe_substitute(values) for scope in scopes]
    for scope in filled:
        if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope) or "," in scope:
            raise BadValue("a scope with a space, a comma or a quote in it")
    return filled


def at(data: Any, path: str) -> Any:
    """What stands at a dotted path of a JSON answer, digits counting along lists; None where nothing does."""
    for part in path.split("."):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return data


def text_at(data: Any, *paths: str) -> str:
    """The first of these places that holds a text or a number; "" if none does."""
    for path in paths:
        value = at(data, path)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            # Half a character or a control character would not go into the database.
            text = "".join(char if char.isprintable() else " " for char in str(value)).strip()
            if text:
                return text
    return ""


def paths_of(manifest: Manifest) -> frozenset[str]:
    return frozenset(prop.name for prop in manifest.properties if prop.format == "path")
