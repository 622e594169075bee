"""In what one release of a connector differs from another, in words, and whether it is a major change.

A change is major where an installation cannot go on by the new release as it went on by the old one:
something is asked that nobody was asked, a way to connect is gone, or the credential goes to another server.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors.manifest import AuthMethod, Manifest, Property
from connectors.registry import Connector


@dataclass(frozen=True)
class Change:
    text: str
    is_major: bool = False


def compare(old: Connector, new: Connector) -> list[Change]:
    """Major ones first."""
    found = [*_methods(old.manifest, new.manifest), *_properties(old.manifest, new.manifest)]
    found += _hosts(old.manifest, new.manifest)
    for what in ("verification", "discovery", "base_url", "webhook"):
        if getattr(old.manifest, what) != getattr(new.manifest, what):
            found.append(Change(_WORDS[what]))
    for what in ("guide", "logo"):
        if getattr(old.files, what) != getattr(new.files, what):
            found.append(Change(f"The {what} was changed."))
    if old.name != new.name:
        found.append(Change(f"It is called {new.name}."))
    if not found and old.digest != new.digest:
        found.append(Change("Texts were changed."))
    return sorted(found, key=lambda change: not change.is_major)


_WORDS = {
    "verification": "The call that verifies a credential was changed.",
    "discovery": "How the account's address is found was changed.",
    "base_url": "The address of the API was changed.",
    "webhook": "How webhooks are received was changed.",
}


def _methods(old: Manifest, new: Manifest) -> Iterator[Change]:
    before = {method.key: method for method in old.auth_methods}
    after = {method.key: method for method in new.auth_methods}
    for key, method in before.items():
        if key not in after:
            yield Change(f"The way “{method.label}” is gone.", is_major=True)
        elif after[key].type != method.type:
            yield Change(f"The way “{method.label}” is of another kind.", is_major=True)
        else:
            yield from _scopes(method, after[key])
            if after[key] != method:
                yield Change(f"The way “{after[key].label}” was changed.")
    for key in after.keys() - before.keys():
        yield Change(f"“{after[key].label}” is a new way to connect.")


def _scopes(old: AuthMethod, new: AuthMethod) -> Iterator[Change]:
    before, after = (set(getattr(method, "default_scopes", ())) for method in (old, new))
    if more := sorted(after - before):
        yield Change(f"It asks for more permissions: {', '.join(more)}.", is_major=True)
    if less := sorted(before - after):
        yield Change(f"It no longer asks for {', '.join(less)}.")


def _properties(old: Manifest, new: Manifest) -> Iterator[Change]:
    before = {prop.name: prop for prop in old.properties}
    after = {prop.name: prop for prop in new.properties}
    for name, prop in after.items():
        was = before.get(name)
        label = prop.label or name
        if was is None and prop.level != "system":
            yield Change(f"“{label}” is new.", is_major=_must_be_asked(prop))
        elif was and was.level != prop.level:
            yield Change(f"“{label}” is supplied by somebody else.", is_major=True)
        elif was and _must_be_asked(prop) and not _must_be_asked(was):
            yield Change(f"“{label}” is required.", is_major=True)
        elif was and was != prop:
            yield Change(f"“{label}” was changed.")
    for name in before.keys() - after.keys():
        yield Change(f"“{before[name].label or name}” is gone.")


def _must_be_asked(prop: Property) -> bool:
    return prop.level != "system" and prop.required and not prop.default and not prop.visible_if


def _hosts(old: Manifest, new: Manifest) -> Iterator[Change]:
    before, after = ({urlsplit(url).netloc for url in manifest.urls} for manifest in (old, new))
    if strange := sorted(after - before):
        yield Change(f"It speaks to another server: {', '.join(strange)}.", is_major=True)
