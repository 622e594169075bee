"""Other processes of the product on the same database: forked from one that has it loaded, killed at will."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, connections

from console import lending

# Connections to PostgreSQL: a child has more threads than a server is likely to take.
SHARED = 10

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.drills.loaded"])


@dataclass(frozen=True)
class Place:
    """What a child cannot know from its environment."""

    database: str
    origin: str

    @classmethod
    def here(cls, origin: str) -> "Place":
        return cls(str(connection.settings_dict["NAME"]), origin)

    def settle(self) -> None:
        connections.settings["default"]["NAME"] = self.database
        settings.STAND_IN_ORIGINS = {"https://rotating.test": self.origin}
        lending.share(SHARED)


def _live(place: Place, pipe, act: Callable, args: tuple) -> None:
    place.settle()
    pipe.send(act(*args))


class Child:
    """A process that does one act and says what came of it."""

    def __init__(self, place: Place, act: Callable, *args):
        self._pipe, theirs = _context.Pipe(duplex=False)
        self.process = _context.Process(target=_live, args=(place, theirs, act, args), daemon=True)
        self.process.start()
        theirs.close()

    def answer(self, seconds: float = 90):
        """What the act returned. Raises TimeoutError, EOFError where the child was killed."""
        if not self._pipe.poll(seconds):
            raise TimeoutError(str(self.process))
        found = self._pipe.recv()
        self.process.join()
        return found

    def is_killed(self, seconds: float = 60) -> bool:
        """Whether it has ended without an answer."""
        self.process.join(seconds)
        return self.process.exitcode == -signal.SIGKILL

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Ask it to end, and its own children with it."""
        self.send(signal.SIGTERM)
        self.process.join(20)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
