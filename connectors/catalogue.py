"""What one partner can install: the library's connectors, and its own."""

from typing import NamedTuple
from uuid import UUID

from connectors import registry, releases
from connectors.models import CustomConnector
from connectors.registry import Connector
from connectors.search import Index
from console.tenancy import Principal


class Entry(NamedTuple):
    """A line of the catalogue. `custom` is None for a connector of the library."""

    connector: Connector
    custom: CustomConnector | None = None


def get(partner_id: UUID, slug: str) -> Connector | None:
    """The connector as it is today; None where there is none, or it was never released."""
    if not is_custom(slug):
        return registry.get(slug)
    rows = CustomConnector.objects.filter(partner_id=partner_id, slug=slug)
    digest = rows.values_list("live_id", flat=True).first()
    return releases.of(digest) if digest else None


def names(partner_id: UUID, slugs: list[str]) -> dict[str, str]:
    """What people call these connectors; one that is gone is called by its key."""
    own = CustomConnector.objects.filter(partner_id=partner_id, slug__in=slugs)
    found = {row.slug: row.draft.name for row in own} if any(map(is_custom, slugs)) else {}
    return {slug: found.get(slug) or getattr(registry.get(slug), "name", slug) for slug in slugs}


def is_custom(slug: str) -> bool:
    # PostgreSQL takes no NUL, and nobody has such a connector.
    return slug.startswith(registry.CUSTOM) and "\0" not in slug


def draft(partner_id: UUID, slug: str) -> Connector | None:
    """What a try-out is made with: of a connector of the library, what everybody has."""
    if not is_custom(slug):
        return registry.get(slug)
    row = CustomConnector.objects.filter(partner_id=partner_id, slug=slug).first()
    return row.draft if row else None


def draft_of(user, slug: str) -> Connector | None:
    """A draft, for the people of its partner."""
    partner = user.partner() if user.is_authenticated else None
    return draft(partner.pk, slug) if partner else None


def offered(principal: Principal, slug: str) -> Connector | None:
    """The connector, if it can be installed today."""
    if not is_custom(slug):
        return registry.get(slug)
    rows = CustomConnector.objects.visible_to(principal).offered()
    row = rows.filter(slug=slug).select_related("live").first()
    return row.released if row else None


def entry(principal: Principal, slug: str) -> Entry | None:
    """A connector as its partner sees it: one that was never released is its draft."""
    if not is_custom(slug):
        connector = registry.get(slug)
        return Entry(connector) if connector else None
    rows = CustomConnector.objects.visible_to(principal).select_related("live", "tried")
    row = rows.filter(slug=slug).first()
    return Entry(row.released or row.draft, row) if row else None


def search(principal: Principal, text: str, *, only_offered: bool = False) -> list[Entry]:
    """What a text finds, a partner's own first, then best first; everything for none."""
    rows = CustomConnector.objects.visible_to(principal).select_related("live")
    if only_offered:
        rows = rows.offered()
    own = [Entry(row.released or row.draft, row) for row in rows]
    own.sort(key=lambda entry: entry.connector.name.lower())
    index = Index((entry, entry.connector.name, entry.connector.words) for entry in own)
    return [*index.search(text), *(Entry(connector) for connector in registry.search(text))]
