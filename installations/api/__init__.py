"""The API of what is installed: its operations call what the pages call."""

from installations.api.credentials import router as credentials
from installations.api.hooks import router as hooks
from installations.api.installations import router as installations
from installations.api.proxy import router as proxy
from installations.api.settings import router as settings
from installations.api.setup_links import router as setup_links
from installations.api.webhooks import router as webhooks

# Those that are called most come first.
routers = (credentials, proxy, installations, setup_links, settings, webhooks, hooks)
