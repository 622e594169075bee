"""The second of three steps to a new key; the README has all three."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console import rotation
from installations import spool


class Command(BaseCommand):
    help = (
        "Seal everything that is stored with the first key of ENCRYPTION_KEYS. The product may run "
        "meanwhile; broken off, it goes on where it stood."
    )

    def add_arguments(self, parser):
        parser.add_argument("--batch", type=int, default=rotation.BATCH, help="rows at a time; 200")

    def handle(self, *args, batch: int, **options):
        key_id = next(iter(settings.ENCRYPTION_KEYS))
        columns = rotation.rotate(self._say, batch)
        answers = spool.seal_anew()
        unreadable = [f"{column.column} {pk}" for column in columns for pk in column.unreadable]
        for place in unreadable:
            self.stderr.write(f"cannot be opened, left as it is: {place}")
        done = sum(column.done for column in columns)
        self.stdout.write(f"{done} values and {answers} answers in the spool were sealed with {key_id}.")
        if unreadable:
            raise CommandError(f"{len(unreadable)} values could not be opened. Keep the old keys.")
        others = [name for name in settings.ENCRYPTION_KEYS if name != key_id]
        if others:
            self.stdout.write(f"Nothing here needs {', '.join(others)} any more; older backups do.")

    def _say(self, progress: rotation.Progress) -> None:
        self.stdout.write(f"{progress.column}: {progress.done} of {progress.total}")
        self.stdout.flush()
