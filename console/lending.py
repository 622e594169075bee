"""A connection to the database is lent: whoever waits for somebody else gives it back meanwhile."""

from django.db import connection


def give_back() -> None:
    """Let other threads have this one's connection; it gets one again with its next query.

    Nothing happens within a transaction, and where there is no pool: each thread has its own there.
    """
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
