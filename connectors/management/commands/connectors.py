"""The library, from a shell."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from connectors import registry
from connectors.authoring import documents, openapi
from connectors.authoring.beginning import begin, samples
from connectors.authoring.documents import BadDocument
from connectors.authoring.sketch import key_for
from connectors.manifest import BadManifest, json_schema
from connectors.samples import missing, of_folder

# Whoever makes a connector for one partner needs none.
_LACKING = (
    "To stand in the library of the product, where a test holds each against the provider's pages, it lacks:"
)
NONE: Mapping[str, str] = MappingProxyType({})


class Command(BaseCommand):
    help = (
        "list | validate PATH | schema | new KEY | import-openapi FILE-OR-URL: "
        "the connectors, and the form of a manifest."
    )

    def add_arguments(self, parser):
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("list", help="every connector: key, version, name, ways to connect")
        validate = commands.add_parser("validate", help="check a connector's folder, or a folder of such")
        validate.add_argument("path", type=Path)
        commands.add_parser("schema", help="print the JSON Schema of manifest.toml")
        new = commands.add_parser("new", help="begin a connector: a folder with all its files")
        new.add_argument("key")
        described = commands.add_parser("import-openapi", help="begin a connector from an OpenAPI document")
        described.add_argument("source", metavar="FILE-OR-URL")
        described.add_argument("--key", default="", help="the folder's name; else it is made of the title")
        described.add_argument(
            "--base-url", default="", help="where the API is, if the document does not say"
        )
        for command in (new, described):
            command.add_argument("--into", type=Path, default=settings.CONNECTOR_LIBRARIES[0])

    def handle(self, *args, command: str, **options):
        getattr(self, f"_{command.replace('-', '_')}")(**options)

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
        faults, lacking = [], []
        for folder in folders:
            try:
                manifest = registry.read(folder).manifest
                lacking += [f"{folder}: {file}" for file in missing(manifest, set(of_folder(folder)))]
            except BadManifest as error:
                faults.append(str(error))
            except UnicodeDecodeError as error:
                faults.append(f"{folder}/samples: byte {error.start} of a file is not UTF-8")
        if faults:
            raise CommandError("\n".join(faults))
        self.stdout.write(f"{len(folders)} connector{'s are' if len(folders) > 1 else ' is'} good.")
        if lacking:
            self.stdout.write("\n".join([_LACKING, *lacking]))

    def _schema(self, **options):
        self.stdout.write(json.dumps(json_schema(), indent=2))

    def _new(self, key: str, into: Path, **options):
        self._write(into, key, *begin(key), samples(key))

    def _import_openapi(self, source: str, key: str, into: Path, base_url: str, **options):
        is_url = "://" in source
        try:
            data = documents.fetch(source) if is_url else self._read(Path(source))
            sketch = openapi.read(documents.parse(data), url=source if is_url else "", base_url=base_url)
        except (BadDocument, OSError) as error:
            raise CommandError(str(error)) from error
        files = sketch.files()
        self._write(into, key or key_for(sketch.name) or "connector", files.manifest, files.guide)
        for note in sketch.notes:
            self.stdout.write(f"- {note}")

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            return file.read(documents.SIZE_LIMIT + 1)

    def _write(
        self, into: Path, key: str, manifest: str, guide: str, samples: Mapping[str, str] = NONE
    ) -> None:
        """Make the folder, whole or not at all, unless the library could not read it."""
        folder = into / key
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) or key.startswith(registry.CUSTOM):
            raise CommandError(
                f"{key!r} is no key of a connector: letters a to z and digits, with single hyphens between "
                f"them, and not {registry.CUSTOM} at its start."
            )
        if folder.exists():
            raise CommandError(f"{folder} is there already.")
        try:
            registry.written(key, registry.Files(manifest, guide, b""))
            into.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=into.parent) as beside:
                made = Path(beside) / key
                made.mkdir()
                (made / "manifest.toml").write_text(manifest, encoding="utf-8")
                (made / "guide.md").write_text(guide, encoding="utf-8")
                if samples:
                    (made / "samples").mkdir()
                for name, text in samples.items():
                    (made / "samples" / name).write_text(text, encoding="utf-8")
                made.rename(folder)
        except (BadManifest, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{folder} is there. Check it after each change: manage.py connectors validate {folder}"
        )
