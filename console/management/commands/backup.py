"""All that is stored, in one file."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from console import backup


class Command(BaseCommand):
    help = "Write all that is stored into one file. The keys are not in it: keep ENCRYPTION_KEYS elsewhere."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, help="a new file")

    def handle(self, *args, file: Path, **options):
        try:
            manifest = backup.make(file)
        except FileExistsError as error:
            raise CommandError(f"{file} is there already.") from error
        except (OSError, backup.CannotRestore) as error:
            raise CommandError(str(error)) from error
        keys = ", ".join(manifest["key_ids"])
        self.stdout.write(f"{file} was written. To restore it you need of ENCRYPTION_KEYS: {keys}.")
