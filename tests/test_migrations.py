"""The release before goes on serving while a new one's migrations run: none takes away what it uses."""

import tomllib
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from console import expanding

# The last ones from before there was a release: nobody ran what was there earlier.
BASELINE = {"console": "0006", "connectors": "0005", "installations": "0012"}

VERSION = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
LOADER = MigrationLoader(None)
REMOVING = (migrations.RemoveField, migrations.DeleteModel)
# The release before knows the old name alone.
RENAMING = (migrations.RenameField, migrations.RenameModel, migrations.AlterModelTable)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def faults(migration: migrations.Migration, version: str = VERSION) -> Iterator[str]:
    """What of a migration the release before does not outlive, or waits for too long.

    A migration that removes something says in `unused_since` which release was the first not to use it:
    one before this. A field goes in two steps, out of the model first (SeparateDatabaseAndState), and has
    `db_default` or is nullable by then, since nobody fills it in any more.
    """
    operations = list(_flat(migration.operations))
    new = {it.name_lower for it in operations if isinstance(it, migrations.CreateModel)}
    for it in operations:
        table = getattr(it, "model_name", getattr(it, "name", "")).lower()
        if isinstance(it, RENAMING):
            yield f"{it.describe()}: add the new one, copy, and remove the old one a release later"
        elif isinstance(it, REMOVING):
            since = getattr(migration, "unused_since", version)
            if numbers(since) >= numbers(version):
                yield f"{it.describe()}: a release before this must not use it any more (unused_since)"
        elif table in new:
            continue
        elif isinstance(it, migrations.AddField):
            yield from _of_a_new_field(it)
        elif isinstance(it, migrations.AlterField):
            before = _before(migration).models[migration.app_label, table].fields[it.name]
            if before.null > it.field.null:
                yield f"{it.describe()}: the release before may leave it empty"
            if before.get_internal_type() != it.field.get_internal_type():
                yield f"{it.describe()}: the table is written anew; add another one, and copy"
        elif isinstance(it, migrations.AddIndex):
            if not isinstance(it, expanding.AddIndex):
                yield f"{it.describe()}: nobody can write meanwhile; console.expanding.AddIndex"
            elif migration.atomic:
                yield f"{it.describe()}: needs atomic = False"
        elif isinstance(it, migrations.AddConstraint | migrations.AlterUniqueTogether):
            yield f"{it.describe()}: the table is read as a whole while nobody can write"


def _before(migration: migrations.Migration) -> ProjectState:
    key = migration.app_label, migration.name
    return (
        LOADER.project_state(key, at_end=False) if key in LOADER.disk_migrations else LOADER.project_state()
    )


def _flat(operations: list[Operation]) -> Iterator[Operation]:
    for it in operations:
        if isinstance(it, migrations.SeparateDatabaseAndState):
            yield from _flat(it.database_operations)
        else:
            yield it


def _of_a_new_field(it: migrations.AddField) -> Iterator[str]:
    field = it.field
    if field.many_to_many:
        return
    if not field.null and field.db_default is models.NOT_PROVIDED:
        yield f"{it.describe()}: the release before does not fill it in; db_default, or null"
    if field.unique or field.db_index:
        yield f"{it.describe()}: its index is made while nobody can write; db_index=False, and AddIndex"


def test_no_migration_since_the_first_release_harms_the_one_before():
    since = [
        migration
        for (app, name), migration in sorted(LOADER.disk_migrations.items())
        if app in BASELINE and name[:4] > BASELINE[app]
    ]
    assert {f"{it.app_label} {it.name}: {fault}" for it in since for fault in faults(it)} == set()


def migration(*operations: Operation, **attributes) -> migrations.Migration:
    """One of the app console, behind the last that there is."""
    kind = type("Migration", (migrations.Migration,), {"operations": operations, **attributes})
    return kind("9999", "console")


TEXT = models.CharField(max_length=10, default="")
INDEX = models.Index(fields=["name"], name="by_name")
HARMFUL = {
    "a field that nobody fills in": migration(migrations.AddField("Job", "new", TEXT)),
    "one with an index": migration(
        migrations.AddField("Job", "new", models.UUIDField(null=True, db_index=True))
    ),
    "a reference, which has one": migration(
        migrations.AddField("Job", "new", models.ForeignKey("console.User", models.CASCADE, null=True))
    ),
    "a field that must be filled in from now on": migration(
        migrations.AlterField("Job", "started_at", models.DateTimeField())
    ),
    "another type": migration(migrations.AlterField("Job", "kind", models.IntegerField())),
    "a field that is used": migration(migrations.RemoveField("Job", "kind")),
    "a field that this release is the first not to use": migration(
        migrations.RemoveField("Job", "kind"), unused_since=VERSION
    ),
    "a table that is used": migration(migrations.DeleteModel("Job")),
    "another name": migration(migrations.RenameField("Job", "kind", "sort")),
    "another name of a table": migration(migrations.RenameModel("Job", "Task")),
    "an index": migration(migrations.AddIndex("Job", INDEX)),
    "an index within a transaction": migration(expanding.AddIndex("Job", INDEX)),
    "a constraint": migration(
        migrations.AddConstraint("Job", models.UniqueConstraint(fields=["kind"], name="one_kind"))
    ),
    "what is separated from the state": migration(
        migrations.SeparateDatabaseAndState([migrations.RemoveField("Job", "kind")])
    ),
}
HARMLESS = {
    "a default in the database": migration(
        migrations.AddField("Job", "new", models.CharField(max_length=10, db_default=""))
    ),
    "a field that may be empty": migration(
        migrations.AddField("Job", "new", models.DateTimeField(null=True))
    ),
    "a longer text": migration(migrations.AlterField("Job", "kind", models.CharField(max_length=500))),
    "a field that was let go earlier": migration(migrations.RemoveField("Job", "kind"), unused_since="0.0.1"),
    "an index built beside the writing": migration(expanding.AddIndex("Job", INDEX), atomic=False),
    "all of a new table": migration(
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("New", "name", TEXT),
        migrations.AddIndex("New", INDEX),
    ),
    "out of the model alone": migration(
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("Job", "kind")])
    ),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_harms_the_release_before_is_found(name):
    assert len(list(faults(HARMFUL[name]))) == 1


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_is_allowed(name):
    assert list(faults(HARMLESS[name])) == []
