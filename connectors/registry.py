"""Which connectors there are: the folders of CONNECTOR_LIBRARIES, read once for each process."""

import re
from functools import cache, cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.urls import reverse

from connectors import guide, logo
from connectors.authoring.beginning import begin
from connectors.manifest import BadManifest, Manifest, load, parse
from connectors.manifest.loading import FAULTS_LIMIT
from connectors.search import Index

# How the keys of partners' own connectors begin; the library has none of them.
CUSTOM = "custom-"


class Files(NamedTuple):
    """What a connector is made of."""

    manifest: str
    guide: str
    logo: bytes


class Connector:
    """A manifest, with the guide and the logo that stand beside it."""

    def __init__(self, definition: Manifest, files: Files):
        self.manifest = definition
        self.slug = definition.slug
        self.name = definition.name
        self.files = files

    @cached_property
    def guide(self) -> guide.Guide:
        return guide.Guide(self.files.guide)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the slug and the files: the name of this release, 64 hex characters."""
        parts = (self.slug.encode(), self.files.manifest.encode(), self.files.guide.encode(), self.files.logo)
        return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()

    @property
    def logo_url(self) -> str:
        """Where it is shown; another logo has another address."""
        return reverse("connector-logo", args=[self.slug, self.digest])

    @property
    def categories(self) -> list[str]:
        return [category_name(category) for category in self.manifest.categories]

    @property
    def words(self) -> list[str]:
        """What it is found by, besides its name."""
        manifest = self.manifest
        labels = [method.label for method in manifest.auth_methods]
        return [*manifest.aliases, *manifest.categories, *labels, *self.ways, "connector"]

    @cached_property
    def ways(self) -> list[str]:
        """The kinds of its auth methods, as people call them."""
        return list(dict.fromkeys(_WAYS[method.type] for method in self.manifest.auth_methods))


def category_name(category: str) -> str:
    """As people read it."""
    return "CRM" if category == "crm" else category.capitalize()


_WAYS = {
    "none": "No sign-in",
    "api_key": "API key, token or password",
    "http_basic": "HTTP basic",
    "oauth1": "OAuth 1",
    "oauth1_redirection": "OAuth 1",
    "aws_signature": "AWS access key",
    "authorization_code": "OAuth",
    "client_credentials": "OAuth client credentials",
    "password": "OAuth password",
    "pasted_grant": "OAuth refresh token or code",
    "jwt_bearer": "OAuth service account",
}


def read(folder: Path) -> Connector:
    """The connector of a folder, checked as a whole. Raises BadManifest."""
    picture = folder / "logo.svg"
    definition = load(folder)
    try:
        manifest = (folder / "manifest.toml").read_text(encoding="utf-8")
        text = (folder / "guide.md").read_text(encoding="utf-8")
        drawn = picture.read_bytes() if picture.exists() else b""
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{folder}: {error}") from error
    try:
        return _whole(_assembled(definition, Files(manifest, text, drawn)))
    except BadManifest as error:
        # Each line names its file; of many folders it must say which.
        raise BadManifest("\n".join(f"{folder}/{line}" for line in str(error).splitlines())) from error


@lru_cache(maxsize=1000)
def made(slug: str, files: Files) -> Connector:
    """The connector of these files. Raises BadManifest."""
    return _assembled(parse(files.manifest, slug=slug), files)


def written(slug: str, files: Files) -> Connector:
    """The connector of files that somebody is about to store: nothing of its guide may be lost.

    What is stored already is read by `made`, whatever its guide is like. Raises BadManifest.
    """
    return _whole(made(slug, files))


def _whole(connector: Connector) -> Connector:
    if faults := connector.guide.faults[:FAULTS_LIMIT]:
        raise BadManifest("\n".join(f"guide.md: {fault}" for fault in faults))
    return connector


def unreadable(slug: str) -> Connector:
    """What stands in the place of one whose manifest this product no longer reads."""
    manifest, text = begin(slug.removeprefix(CUSTOM))
    summary = 'summary = "Its definition was stored by an earlier version of this product."'
    return made(slug, Files(re.sub(r"(?m)^summary = .*$", summary, manifest, count=1), text, b""))


def with_version(files: Files, version: str) -> Files:
    """The same, calling itself by another version."""
    line = re.compile(r"^version\s*=.*$", re.MULTILINE)
    return files._replace(manifest=line.sub(f'version = "{version}"', files.manifest, count=1))


def _assembled(definition: Manifest, files: Files) -> Connector:
    """Without a logo the connector's initials are drawn."""
    if len(files.guide) > guide.SIZE_LIMIT:
        raise BadManifest(f"guide.md: {len(files.guide):,} characters; at most {guide.SIZE_LIMIT:,} are read")
    _check_anchors(definition, guide.Guide(files.guide))
    if files.logo and (fault := logo.fault(files.logo)):
        raise BadManifest(f"logo.svg: {fault}")
    if not files.logo:
        files = files._replace(logo=logo.monogram(definition.slug, definition.name))
    return Connector(definition, files)


class Library(dict[str, Connector]):
    """Every connector by its slug, in the order of their names."""

    @cached_property
    def index(self) -> Index:
        return Index((connector, connector.name, connector.words) for connector in self.values())

    @cached_property
    def categories(self) -> list[str]:
        return sorted({name for connector in self.values() for name in connector.manifest.categories})

    @cached_property
    def ways(self) -> list[str]:
        return sorted({way for connector in self.values() for way in connector.ways})


@cache
def all() -> Library:
    """The library of this process. Raises BadManifest."""
    found = {}
    for library in settings.CONNECTOR_LIBRARIES:
        try:
            folders = sorted(folder for folder in library.iterdir() if folder.is_dir())
        except OSError as error:
            raise BadManifest(f"{library}: {error}") from error
        for folder in folders:
            if folder.name.startswith(CUSTOM):
                raise BadManifest(f"{folder}: names with {CUSTOM} are for the connectors that partners make")
            found[folder.name] = read(folder)
    return Library(sorted(found.items(), key=lambda item: item[1].name.lower()))


def get(slug: str) -> Connector | None:
    return all().get(slug)


def search(text: str) -> list[Connector]:
    """The connectors that a text finds, best first; all of them for none."""
    return all().index.search(text)


def _check_anchors(definition: Manifest, text: guide.Guide) -> None:
    for key, parts in (("properties", definition.properties), ("auth_methods", definition.auth_methods)):
        for index, part in enumerate(parts):
            for anchor in part.help_anchors:
                if anchor not in text.sections:
                    raise BadManifest(
                        f"manifest.toml: {key}.{index}.help_anchors: {anchor!r} is no heading of guide.md; "
                        f"there are {', '.join(text.sections)}"
                    )
