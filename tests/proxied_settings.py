"""The console's settings, with the proxy at addresses of tests.proxied."""

from console.settings import *  # noqa: F403

ROOT_URLCONF = "tests.proxied"
