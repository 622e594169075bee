"""End a pause."""

from django.core.management.base import BaseCommand

from console import queue
from console.models import Pause


class Command(BaseCommand):
    help = "Let background work and renewals go on, after a backup was restored or support paused them."

    def handle(self, *args, **options):
        ended = [pause.reason for pause in Pause.objects.all()]
        Pause.objects.all().delete()
        queue.wake()
        self.stdout.write("\n".join(f"Ended: {reason}" for reason in ended) or "Nothing was paused.")
