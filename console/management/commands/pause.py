"""Begin a pause."""

from django.core.management.base import BaseCommand

from console.models import Pause


class Command(BaseCommand):
    help = "Stop background work and renewals, before another system takes over; manage.py resume ends it."

    def add_arguments(self, parser):
        parser.add_argument("reason", help="what people read about it, one sentence")

    def handle(self, *args, reason: str, **options):
        Pause.objects.create(reason=reason[:200])
        self.stdout.write("Paused. What is being renewed at this moment is finished.")
