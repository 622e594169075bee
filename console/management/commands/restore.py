"""The way back from a backup."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from console import backup


class Command(BaseCommand):
    help = "Fill an empty database from a backup. Background work is paused then; manage.py resume ends that."
    # The database is empty.
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)

    def handle(self, *args, file: Path, **options):
        try:
            manifest = backup.restore(file)
        except backup.CannotRestore as why:
            raise CommandError(f"{why} Nothing was changed.") from why
        except backup.SpoolLeftOut as why:
            raise CommandError(
                f"The database was restored and is paused, the answers in the spool were not: {why}. "
                "Mend that, and begin anew with an empty database."
            ) from why
        self.stdout.write(
            f"The backup of {manifest['made_at']} was restored. Next:\n"
            "1. manage.py migrate\n"
            "2. End the system that it was copied from, with all its workers.\n"
            "3. manage.py resume: until then no token is renewed."
        )
