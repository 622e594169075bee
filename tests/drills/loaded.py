"""What the children of a drill find loaded: they are forked from a process that has imported this."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

import django
from django.conf import settings

django.setup()

from connectors import registry  # noqa: E402
from installations import background, health, tokens  # noqa: E402, F401
from tests.drills import acts, jobs_of_drill  # noqa: E402, F401

settings.CONNECTOR_LIBRARIES = [settings.BASE_DIR / "tests" / "library"]
registry.all()
