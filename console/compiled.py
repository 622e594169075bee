"""A question to the database that is put together once, for what each call of the API asks.

To put the same query together anew takes Django some ten times as long as the database needs to answer it.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, UUIDField

_KEY = UUIDField()


class Compiled:
    """`make` is given a stand-in for each value and returns rows as `values_list` does.

    A stand-in is of the value's type and equals nothing else that the query holds.
    """

    def __init__(self, make: Callable[..., QuerySet], *stand_ins: Any):
        self._make, self._stand_ins = make, stand_ins
        self._ready: tuple | None = None

    def first(self, *values: Any) -> tuple | None:
        """The columns of the first row; None where there is none."""
        sql, params, compiler, converters = self._ready or self._put_together()
        instead = dict(zip(map(_adapted, self._stand_ins), map(_adapted, values), strict=True))
        with connection.cursor() as cursor:
            cursor.execute(sql, [instead.get(param, param) for param in params])
            row = cursor.fetchone()
        if row is None:
            return None
        return tuple(next(iter(compiler.apply_converters([row], converters)))) if converters else row

    def _put_together(self) -> tuple:
        query = self._make(*self._stand_ins)[:1].query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        converters = compiler.get_converters([column for column, _, _ in compiler.select])
        # What depends on the connection is alike on all of them: there is one database.
        self._ready = sql, params, compiler, converters
        return self._ready


def _adapted(value: Any) -> Any:
    return _KEY.get_db_prep_value(value, connection) if isinstance(value, UUID) else value
