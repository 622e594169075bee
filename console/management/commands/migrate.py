from django.core.management.commands import migrate
from django.db import connections

from console import expanding


class Command(migrate.Command):
    def handle(self, *args, **options):
        with expanding.short_waits(connections[options["database"]]):
            return expanding.again_and_again(lambda: super(Command, self).handle(*args, **options), self._say)

    def _say(self, words: str) -> None:
        self.stdout.write(words)
