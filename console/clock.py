"""The time that leases and expiries are held against: the database's, whatever a machine's own clock says."""

from datetime import UTC, datetime

from django.db import connection
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

__all__ = ["Now", "now"]


def now() -> datetime:
    """Now, by the database's clock."""
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')" if sqlite else "SELECT clock_timestamp()"
        )
        (found,) = cursor.fetchone()
    return parse_datetime(found).replace(tzinfo=UTC) if sqlite else found
