"""The WSGI application. It refuses to start with keys that do not open this database."""

import gc
import logging
import os
import sys

from django.core.wsgi import get_wsgi_application

# To gunicorn a worker that ends with 3 means: do not start another. With any other status it starts them
# for ever, and whoever watches the process takes it for running.
DO_NOT_START_ANOTHER = 3

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
try:
    django_application = get_wsgi_application()

    from django.conf import settings

    from console import lending
    from console.checks import refuse_wrong_keys
    from console.logs import Unquoted
    from console.shield import Shield

    application = Shield(django_application)
    # Not in LOGGING: to configure this logger takes away where gunicorn writes to.
    logging.getLogger("gunicorn.error").addFilter(Unquoted())
    # The library lives as long as the process: nobody need look through it for garbage.
    gc.collect()
    gc.freeze()

    refuse_wrong_keys()
    lending.share(settings.DATABASE_CONNECTIONS)
except SystemExit as refusal:
    sys.stderr.write(f"{refusal}\n")
    raise SystemExit(DO_NOT_START_ANOTHER) from refusal
