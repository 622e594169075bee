"""Migrations while the release before serves: an index that is built beside the writing, and no long queue.

What waits for a lock on a table makes all who come later wait as well, readers too: so a migration waits for
less than two seconds, lets the others pass, and tries again.
"""

import time
from contextlib import contextmanager

from django.db import OperationalError, migrations

# Of one wait; what comes between two is for those who stood behind it.
LOCK_SECONDS, PAUSE_SECONDS, TRIES = 1, 2, 60


@contextmanager
def short_waits(connection):
    """On PostgreSQL nothing in here waits longer for a lock: it raises OperationalError instead."""
    if connection.vendor != "postgresql":
        yield
        return
    _wait(connection, LOCK_SECONDS)
    try:
        yield
    finally:
        _wait(connection, 0)


def _wait(connection, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{seconds}s"])


def again_and_again(migrate, say):
    """What `migrate` returns, which is called anew when it had to wait too long; `say` is told each time.

    A migration that was broken off has left nothing, or can be done twice.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return migrate()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != "55P03" or not tries_left:
                raise
        say("Somebody holds a table for long; it is tried again.")
        time.sleep(PAUSE_SECONDS)
    return None


class AddIndex(migrations.AddIndex):
    """As Django's, but on PostgreSQL the table is written to while it is built; needs `atomic = False`.

    That waits for transactions which began earlier, with a lock in the way of nobody, for as long as they
    take. What an attempt that was broken off has left is removed first.
    """

    atomic = False

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        _wait(schema_editor.connection, 0)
        try:
            schema_editor.execute(
                f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}"
            )
            schema_editor.add_index(model, self.index, concurrently=True)
        finally:
            _wait(schema_editor.connection, LOCK_SECONDS)
