"""The library, from a shell."""

import json
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from connectors import registry
from connectors.manifest import BadManifest, json_schema

_MANIFEST = """\
version = "1.0"
name = "{name}"
summary = "What {name} is, in one sentence."
website = "https://{slug}.example"
categories = ["developer tools"]
# The provider's own pages that this was written from.
source = ["https://{slug}.example/developers"]
base_url = "https://api.{slug}.example/v1"

[[auth_methods]]
type = "api_key"
label = "API Key"
summary = "You create a key in {name} and paste it here."
help_anchors = ["create-a-key"]
inject = {{ headers = {{ Authorization = "Bearer ${{api_key}}" }} }}

[[properties]]
name = "api_key"
label = "API Key"
description = "The key that you created in {name}."
level = "account"
help_anchors = ["create-a-key"]

[verification]
url = "https://api.{slug}.example/v1/me"
account_id = "id"
account_name = ["name"]
"""
_GUIDE = """\
# Partner

## Nothing to prepare

Each customer creates a key in {name}; there is nothing to store here.

# Customer

## Create a key

1. Sign in to {name}.
2. Create a key and copy it.
"""


class Command(BaseCommand):
    help = "list | validate PATH | schema | new KEY: the connectors, and the form of a manifest."

    def add_arguments(self, parser):
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("list", help="every connector: key, version, name, ways to connect")
        validate = commands.add_parser("validate", help="check a connector's folder, or a folder of such")
        validate.add_argument("path", type=Path)
        commands.add_parser("schema", help="print the JSON Schema of manifest.toml")
        new = commands.add_parser("new", help="begin a connector: a folder with all its files")
        new.add_argument("key")
        new.add_argument("--into", type=Path, default=settings.CONNECTOR_LIBRARIES[0])

    def handle(self, *args, command: str, **options):
        getattr(self, f"_{command}")(**options)

    def _list(self, **options):
        for connector in registry.all().values():
            ways = ", ".join(method.key for method in connector.manifest.auth_methods)
            row = f"{connector.slug:28} {connector.manifest.version:6} {connector.name:34} {ways}"
            self.stdout.write(row)

    def _validate(self, path: Path, **options):
        folders = (
            [path] if (path / "manifest.toml").exists() else sorted(p for p in path.glob("*/") if p.is_dir())
        )
        if not folders:
            raise CommandError(f"{path} is no connector's folder, and holds none.")
        faults = []
        for folder in folders:
            try:
                registry.read(folder)
            except BadManifest as error:
                faults.append(str(error))
        if faults:
            raise CommandError("\n".join(faults))
        self.stdout.write(f"{len(folders)} connector{'s are' if len(folders) > 1 else ' is'} good.")

    def _schema(self, **options):
        self.stdout.write(json.dumps(json_schema(), indent=2))

    def _new(self, key: str, into: Path, **options):
        folder = into / key
        if folder.exists():
            raise CommandError(f"{folder} is there already.")
        texts = {"name": key.replace("-", " ").title(), "slug": key}
        folder.mkdir(parents=True)
        (folder / "manifest.toml").write_text(_MANIFEST.format(**texts), encoding="utf-8")
        (folder / "guide.md").write_text(_GUIDE.format(**texts), encoding="utf-8")
        try:
            registry.read(folder)
        except BadManifest as error:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{folder} is there. Check it after each change: manage.py connectors validate {folder}"
        )
