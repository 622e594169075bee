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
    except DatabaseError as error:
        raise SystemExit(f"The database cannot be read: {error}\nRun: python manage.py migrate") from error
    if why:
        raise SystemExit(
            f"ENCRYPTION_KEYS does not fit this database: {why}.\nPut the key back that was used before."
        )
    if not known:
        raise SystemExit("This database has no key canary. Run: python manage.py migrate")
    try:
        registry.all()
    except BadManifest as error:
        raise SystemExit(str(error)) from error
