"""A worker: renews tokens, checks installations, sends what is to be sent."""

from threading import Thread

from django.conf import settings
from django.core.management.base import BaseCommand

from console import jobs, lending, tidying
from console.queue import huey
from installations import renewed
from installations.notices import endings
from installations.webhooks import delivery


class Command(BaseCommand):
    help = "Do the work in the background, until it is ended (Ctrl-C or SIGTERM: after the job in hand)."

    def add_arguments(self, parser):
        parser.add_argument("--threads", type=int, default=4, help="jobs at a time; 4")
        parser.add_argument("--once", action="store_true", help="do what is due now, and end")

    def handle(self, *args, threads: int, once: bool, **options):
        # Before anything is renewed: what arrived and was not written yet.
        renewed.replay()
        tidying.begin()
        if once:
            self.stdout.write(f"{jobs.work()} jobs were done.")
            return
        endings.begin()
        delivery.sweep_from_now_on()
        lending.share(settings.DATABASE_CONNECTIONS)
        consumer = huey.create_consumer(
            workers=threads,
            initial_delay=0.05,
            max_delay=1.0,
            graceful_signal="TERM",
            check_worker_health=True,
            periodic=False,
        )
        jobs.ended = consumer.stop_flag
        sweeper = Thread(target=jobs.sweep, name="sweep")
        sweeper.start()
        try:
            consumer.run()
        finally:
            # It has its job in hand, as the others had.
            jobs.ended.set()
            sweeper.join()
