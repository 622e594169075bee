"""Which connectors there are: the folders of CONNECTOR_LIBRARIES, read once for each process."""

from functools import cache, cached_property

from django.conf import settings

from connectors import guide, manifest
from connectors.manifest import BadManifest, Manifest


class Connector:
    """A manifest, with the guide and the logo that stand beside it."""

    def __init__(self, definition: Manifest, guide_text: str, logo: bytes):
        self.manifest = definition
        self.slug = definition.slug
        self.name = definition.name
        self.logo = logo
        self._guide_text = guide_text
        # Names before everything else, so that they come first in a search.
        words = [self.name, *definition.aliases, *definition.categories, "connector"]
        self._haystack = "\n".join(words).lower()

    @cached_property
    def guide(self) -> guide.Guide:
        return guide.Guide(self._guide_text)

    def rank(self, words: list[str]) -> int | None:
        """How well this connector answers a search, smaller is better; None where a word is missing."""
        if any(word not in self._haystack for word in words):
            return None
        return sum(self._haystack.index(word) for word in words)


@cache
def all() -> dict[str, Connector]:
    """Every connector by its slug, in the order of their names. Raises BadManifest."""
    found = {}
    for library in settings.CONNECTOR_LIBRARIES:
        try:
            folders = sorted(folder for folder in library.iterdir() if folder.is_dir())
            for folder in folders:
                definition = manifest.load(folder)
                text = (folder / "guide.md").read_text(encoding="utf-8")
                _check_anchors(definition, guide.Guide(text))
                found[definition.slug] = Connector(definition, text, (folder / "logo.svg").read_bytes())
        except (OSError, UnicodeDecodeError) as error:
            raise BadManifest(f"{library}: {error}") from error
    return dict(sorted(found.items(), key=lambda item: item[1].name.lower()))


def get(slug: str) -> Connector | None:
    return all().get(slug)


def search(text: str) -> list[Connector]:
    """The connectors whose name, alias or category has every word of the text, best first."""
    words = text.lower().split()
    ranked = [
        (rank, connector) for connector in all().values() if (rank := connector.rank(words)) is not None
    ]
    return [connector for _, connector in sorted(ranked, key=lambda pair: pair[0])]


def _check_anchors(definition: Manifest, text: guide.Guide) -> None:
    for part in (*definition.properties, *definition.auth_methods):
        for anchor in part.help_anchors:
            if anchor not in text.sections:
                raise BadManifest(
                    f"{definition.slug}: help_anchors names {anchor!r}, which is not a heading of guide.md; "
                    f"there are {', '.join(text.sections)}"
                )
