"""Refusing to run rather than running wrongly."""

from django.db import DatabaseError

from connectors import registry
from connectors.manifest import BadManifest
from console.models import KeyCanary


def refuse_wrong_keys() -> None:
    """Exit where the database cannot be read, its values cannot be opened, or the library is broken."""
    try:
        why = KeyCanary.unreadable()
        known = KeyCanary.objects.exists()
        if known and not why:
            KeyCanary.plant()
    except DatabaseError as error:
        raise SystemExit(f"The database cannot be read: {error}\nRun: python manage.py migrate") from error
    if why:
        raise SystemExit(
            f"ENCRYPTION_KEYS does not fit this database: {why}.\nPut the key back that was used before."
        )
    if not known:
        raise SystemExit(
            "This database has no key canary: either it was not migrated (run: python manage.py migrate), or "
            "its key canaries were deleted, and nobody can tell any more whether these keys fit."
        )
    try:
        registry.all()
    except BadManifest as error:
        raise SystemExit(str(error)) from error
