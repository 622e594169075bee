"""The settings of a release to come: its migrations are those that there are, and one more."""

from console.settings import *  # noqa: F403 - all of them

MIGRATION_MODULES = {"installations": "tests.next_release.migrations"}
