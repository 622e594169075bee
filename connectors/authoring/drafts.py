"""A partner's own connector, from its first draft to its releases."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from connectors import registry, releases
from connectors.authoring.changes import Change, compare
from connectors.manifest import BadManifest
from connectors.models import CustomConnector, Publication
from connectors.registry import CUSTOM, Connector, Files
from console.models import Event
from console.tenancy import Principal


def create(
    principal: Principal, key: str, files: Files, samples: dict[str, str] | None = None
) -> CustomConnector:
    """A connector with this draft. Raises BadManifest, and ValidationError where the key is taken."""
    rows = CustomConnector.objects.visible_to(principal)
    if rows.count() >= CustomConnector.AT_MOST:
        raise ValidationError(
            f"There are {CustomConnector.AT_MOST} connectors of your own. Delete one first."
        )
    row = CustomConnector(partner_id=principal.partner_id, slug=CUSTOM + key, updated_by=principal.actor)
    row.samples = samples or {}
    _take(row, files)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise ValidationError(
            f"You have a connector with the key “{key}” already. Choose another."
        ) from error
    name = row.draft.name
    Event.objects.record("connector.created", principal, f"The connector {name} was created", subject=row)
    return row


def save(row: CustomConnector, principal: Principal, files: Files) -> bool:
    """Replace the draft; False if nothing is different. Raises BadManifest, and then nothing is changed."""
    before = row.files
    _take(row, files)
    if row.files == before:
        return False
    row.updated_by = principal.actor
    row.save(update_fields=["manifest", "guide", "logo", "updated_by", "updated_at"])
    Event.objects.record(
        "connector.draft_saved", principal, f"The draft of {row.draft.name} was changed", subject=row
    )
    return True


def _take(row: CustomConnector, files: Files) -> None:
    registry.written(row.slug, files)
    row.manifest, row.guide, row.logo = files


def discard(row: CustomConnector, principal: Principal) -> None:
    """The draft is what is live, again."""
    files = row.released.files
    save(row, principal, files)


def what_changes(row: CustomConnector) -> list[Change]:
    """In what the draft differs from the release that is live."""
    return compare(row.released, row.draft) if row.released and not row.fault else []


def next_version(row: CustomConnector) -> str:
    """The version that the draft calls itself, if it is high enough; else the least that is."""
    if row.released is None:
        return row.draft.manifest.version
    (major, minor), number = row.released.manifest.number, row.draft.manifest.number
    is_major = any(change.is_major for change in what_changes(row))
    least = (major + 1, 0) if is_major else (major, minor + 1)
    return ".".join(map(str, max(number, least)))


def publish(row: CustomConnector, principal: Principal, version: str) -> Publication:
    """Make the draft the release that is installed from now on. Raises ValidationError."""
    with transaction.atomic():
        row = CustomConnector.objects.select_for_update().get(pk=row.pk)
        if row.fault:
            raise ValidationError(f"The definition cannot be read any more: {row.fault.splitlines()[0]}.")
        if row.state == "live":
            raise ValidationError("The draft is what is live already.")
        connector = _called(row, version)
        changes = what_changes(row)
        if row.released:
            _check_number(row.released, connector, changes)
        row.manifest = connector.files.manifest
        row.live_id, row.deprecated_at = releases.keep(connector), None
        row.save()
        publication = Publication.objects.create(
            partner_id=row.partner_id,
            custom=row,
            release_id=row.live_id,
            changes=[change.text for change in changes],
            published_by=principal.actor,
        )
        Event.objects.record(
            "connector.published", principal, f"{connector.name} {version} was published", subject=row
        )
    return publication


def _called(row: CustomConnector, version: str) -> Connector:
    """The draft under this version."""
    try:
        connector = registry.made(row.slug, registry.with_version(row.files, version))
    except BadManifest as error:
        raise ValidationError("A version is two numbers, such as 1.2.") from error
    if connector.manifest.version != version:
        raise ValidationError(f'Set version = "{version}" in the manifest yourself, and save it.')
    return connector


def _check_number(live: Connector, connector: Connector, changes: list[Change]) -> None:
    number, before = connector.manifest.number, live.manifest.number
    if number <= before:
        raise ValidationError(f"Version {live.manifest.version} is live; the next one must be higher.")
    major = [change.text for change in changes if change.is_major]
    if major and number[0] <= before[0]:
        raise ValidationError(f"{major[0]} That is a major change: it needs {before[0] + 1}.0 or higher.")


def deprecate(row: CustomConnector, principal: Principal, deprecated: bool) -> None:
    """No longer offered for installation, or again; what is installed goes on either way."""
    row.deprecated_at = timezone.now() if deprecated else None
    row.save(update_fields=["deprecated_at"])
    said = "is no longer offered" if deprecated else "is offered again"
    kind = "connector.deprecated" if deprecated else "connector.restored"
    Event.objects.record(kind, principal, f"{row.draft.name} {said}", subject=row)


def note_tried(partner_id: UUID, slug: str, release_id: str) -> None:
    """This draft was connected in a try-out."""
    rows = CustomConnector.objects.filter(partner_id=partner_id, slug=slug)
    rows.update(tried_id=release_id, tried_at=timezone.now())
