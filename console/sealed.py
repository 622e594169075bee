"""A model field whose value is sealed in the database and opened on first access.

Lists never open it; one damaged row never blocks a list; saving a row whose value was not read
keeps its bytes; `update()`, filters, `dumpdata` and admin never meet plaintext.
"""

import base64
from typing import Any

from django.core.exceptions import FieldError
from django.db import models

from console import crypto


class Sealed(bytes):
    """Bytes as they stand in the database, not opened yet."""

    def __repr__(self) -> str:
        return "<sealed>"


class Restored(Sealed):
    """Sealed bytes on their way from a dump to the database, where nobody opens them."""


class _Opening:
    """The attribute on the model: opens the sealed bytes when it is first read."""

    def __init__(self, field: "SealedField"):
        self.field = field

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        stored, name = self.field.stored(instance), self.field.opened_name
        if not isinstance(stored, Sealed) or isinstance(stored, Restored):
            return stored
        if name not in instance.__dict__:
            instance.__dict__[name] = crypto.unseal(stored, self.field.context(instance))
        return instance.__dict__[name]

    def __set__(self, instance, value):
        instance.__dict__.pop(self.field.opened_name, None)
        instance.__dict__[self.field.attname] = value


class SealedField(models.BinaryField):
    """Holds any JSON value. The model needs a UUID primary key and a `partner_id`.

    A value that is changed in place is not noticed: assign a new one. Raises crypto.CannotOpen on
    reading a damaged or moved value.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "editable": False})

    @property
    def opened_name(self) -> str:
        return f"_opened_{self.attname}"

    def stored(self, instance: models.Model) -> Any:
        """The sealed bytes, fetched if they were deferred, or the value that was assigned since."""
        if self.attname not in instance.__dict__:
            rows = type(instance)._base_manager.using(instance._state.db).filter(pk=instance.pk)
            instance.__dict__[self.attname] = rows.values_list(self.attname, flat=True).get()
        return instance.__dict__[self.attname]

    def context(self, instance: models.Model) -> crypto.Context:
        return crypto.Context(
            instance._meta.db_table, self.column, str(instance.partner_id), str(instance.pk)
        )

    def open(self, sealed: Sealed, *, partner_id, pk) -> Any:
        """The value of a row that was read as plain columns. Raises crypto.CannotOpen."""
        place = crypto.Context(self.model._meta.db_table, self.column, str(partner_id), str(pk))
        return crypto.unseal(sealed, place)

    def contribute_to_class(self, cls, name, **kwargs):
        super().contribute_to_class(cls, name, **kwargs)
        setattr(cls, self.attname, _Opening(self))
        if cls.refresh_from_db is models.Model.refresh_from_db:
            cls.refresh_from_db = _refresh_from_db
            cls.__getstate__ = _getstate

    def from_db_value(self, value, expression, connection):
        return None if value is None else Sealed(bytes(value))

    def pre_save(self, instance, add):
        stored = self.stored(instance)
        if stored is None or isinstance(stored, Sealed):
            return stored
        sealed = Sealed(crypto.seal(stored, self.context(instance)))
        instance.__dict__[self.attname] = sealed
        return sealed

    def get_db_prep_value(self, value, connection, prepared=False):
        if value is not None and not isinstance(value, Sealed):
            raise FieldError(f"{self.name} can only be written by saving its row")
        return super().get_db_prep_value(value, connection, prepared)

    def get_lookup(self, lookup_name):
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def value_from_object(self, obj: models.Model) -> Any:
        # What serializers look at first: they would show a number as it is.
        return self.stored(obj)

    def value_to_string(self, obj: models.Model) -> str:
        stored = self.stored(obj)
        if stored is None:
            return ""
        return base64.b64encode(stored if isinstance(stored, Sealed) else self.pre_save(obj, False)).decode()

    def to_python(self, value: Any):
        # dumpdata's form, on its way back through loaddata.
        if isinstance(value, str):
            return Restored(base64.b64decode(value)) if value else None
        return value


def _refresh_from_db(self, using=None, fields=None, from_queryset=None) -> None:
    """Django's would open every sealed value; here they are fetched anew when they are next read."""
    sealed = {field.attname: field for field in self._meta.fields if isinstance(field, SealedField)}
    for name in sealed if fields is None else sealed.keys() & set(fields):
        self.__dict__.pop(name, None)
        self.__dict__.pop(sealed[name].opened_name, None)
    if fields is not None:
        fields = [name for name in fields if name not in sealed]
    models.Model.refresh_from_db(self, using, fields, from_queryset)


def _getstate(self) -> dict:
    """For pickles and copies: what was opened stays here, and is opened again where it is read."""
    return {
        name: value
        for name, value in models.Model.__getstate__(self).items()
        if not name.startswith("_opened_")
    }
