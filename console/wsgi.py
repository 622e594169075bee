"""The WSGI application. It refuses to start with keys that do not open this database."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
application = get_wsgi_application()

from console.checks import refuse_wrong_keys  # noqa: E402 - needs the applications loaded

refuse_wrong_keys()
