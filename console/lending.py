"""A connection to the database is lent: whoever waits for somebody else gives it back meanwhile."""

from django.db import connection

# So long somebody waits for one: a database that is gone shall not hold every thread for long.
PATIENCE_SECONDS = 5.0


def share(at_most: int) -> None:
    """From now on the threads of this process share so many of them, on PostgreSQL; 0: each keeps its own.

    What is shared is bounded, and costs each request its turn: a credential takes twice as long. A pool says
    that it got none, and not why: whoever wants to know connects before. One that is lent is tried first, for
    it may have died in the pool.
    """
    connection.close()
    if connection.vendor == "postgresql" and at_most:
        # One dictionary for the connections of all threads.
        connection.settings_dict["CONN_MAX_AGE"] = 0
        connection.settings_dict["OPTIONS"]["pool"] = {
            "min_size": 0,
            "max_size": at_most,
            "timeout": PATIENCE_SECONDS,
        }


def give_back() -> None:
    """Let other threads have this one's connection; it gets one again with its next query.

    Nothing happens within a transaction, and where there is no pool: each thread has its own there.
    """
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
