"""Seal everything that is stored anew with the first key of the ring, while the product goes on.

A row is written only where it still holds the bytes that were read, by one conditional UPDATE: what is
written meanwhile is never overwritten. What is left to do is read from the rows themselves, so that a run
that was broken off goes on where it stood.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.apps import apps
from django.db.models import BinaryField, ExpressionWrapper, F, Func, Model

from console import crypto
from console.sealed import Sealed, SealedField

BATCH = 200
FIRST = uuid.UUID(int=0)


@dataclass
class Progress:
    """How far one column is: `done` of `total` rows; `unreadable` are the ids of those that did not open."""

    column: str
    total: int
    done: int = 0
    unreadable: list[str] = field(default_factory=list)


def sealed_columns() -> Iterator[tuple[type[Model], SealedField]]:
    for model in apps.get_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, SealedField):
                yield model, column


def rotate(report: Callable[[Progress], None], batch: int = BATCH) -> list[Progress]:
    """Every column of every model; `report` is called after each batch."""
    return [_rotate(model, column, report, batch) for model, column in sealed_columns()]


def _rotate(model: type[Model], column: SealedField, report, batch: int) -> Progress:
    left = _left(model, column)
    progress = Progress(f"{model._meta.label}.{column.name}", left.count())
    last = FIRST
    while True:
        rows = list(left.filter(pk__gt=last).order_by("pk")[:batch])
        for row in rows:
            _seal_anew(model, column, row, progress)
        if rows or not progress.total:
            report(progress)
        if rows:
            last = rows[-1].pk
        elif left.exclude(pk__in=progress.unreadable).exists():
            # Rows that somebody wrote while we looked at them: once more from the beginning.
            last = FIRST
        else:
            return progress


def _left(model: type[Model], column: SealedField):
    """The rows whose value another key has sealed, without opening anything."""
    head = crypto.head()
    start = Func(F(column.attname), 1, len(head), function="SUBSTR", output_field=BinaryField())
    # Opening needs the row's place: its table, its partner and itself.
    place = {"partner_id"} & {part.attname for part in model._meta.concrete_fields}
    rows = model._base_manager.filter(**{f"{column.attname}__isnull": False})
    return rows.annotate(head=start).exclude(head=head).only("pk", column.attname, *place)


def _seal_anew(model: type[Model], column: SealedField, row: Model, progress: Progress) -> None:
    before, context = column.stored(row), column.context(row)
    try:
        after = crypto.seal(crypto.unseal(before, context), context)
    except crypto.CannotOpen:
        if str(row.pk) not in progress.unreadable:
            progress.unreadable.append(str(row.pk))
        return
    as_bytes = ExpressionWrapper(F(column.attname), output_field=BinaryField())
    unchanged = model._base_manager.filter(pk=row.pk).annotate(bytes=as_bytes).filter(bytes=bytes(before))
    progress.done += unchanged.update(**{column.attname: Sealed(after)})


def key_ids() -> list[str]:
    """The ids of all keys that have sealed something of what is stored."""
    found = set()
    for model, column in sealed_columns():
        rows = model._base_manager.filter(**{f"{column.attname}__isnull": False})
        start = Func(F(column.attname), 1, 10, function="SUBSTR", output_field=BinaryField())
        heads = rows.annotate(head=start).values_list("head", flat=True)
        found |= {crypto.key_id_of(bytes(head)) for head in heads.iterator()}
    return sorted(found)
