"""A stand-in for Heartland Retail, to try out Partner Console without an account there.

    python -m tests.stand_ins.heartland --port 8001 --state var/stand-in.json

It answers what Heartland's documents describe; for what they leave open, the comments name
the source or say that it is an inference. Grades of facts: A the official page, B the
vendor's own code or staff, C working third-party code or guides, D unverified claims.

One TCP port plays every host, told apart by the Host header: `retail.heartland.us` and the
loopback names are the central host, `<account>.retail.heartland.us` is one account's own.
"""

import argparse
import logging
import sys
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path, re_path

from . import heartland_api as api
from . import heartland_oauth as oauth
from . import heartland_pages as pages
from .heartland_state import state
from .serving import serve

NAME = "Heartland Retail stand-in"
DOMAIN = ".retail.heartland.us"

CENTRAL = (
    path("", pages.dashboard),
    path("style.css", pages.style),
    path("account", pages.my_account),
    path("account/api", pages.api_tokens),
    path("account/api/new", pages.new_api_token),
    path("account/api/token", pages.show_api_token),
    path("revoke", pages.revoke),
    path("apps", pages.apps),
    path("apps/registered", pages.app_registered),
    path("apps/delete", pages.delete_app),
    path("switches", pages.switches),
    path("oauth/authorize", oauth.authorize),  # grade A
    path("api/oauth/token", oauth.token),  # grade D, and B- for the legacy domain
    path("api/system/host", api.host),  # grade D and C-
    path("_ready", pages.ready),
    path("_control", pages.control),
    path("_calls", pages.calls),
    path("_calls/reset", pages.reset_calls),
    path("_tokens", pages.control_tokens),
    path("_tokens/revoke", pages.control_revoke),
    path("_apps", pages.control_apps),
    re_path("^api/", api.not_found),
)
ACCOUNT = (
    path("api/system/whoami", api.whoami),
    path("api/settings/company_name", api.company_name),
    path("api/items", api.items),
    path("api/items/<int:item_id>", api.item),
    path("api/customers", api.customers),
    path("api/locations", api.locations),
    re_path("", api.not_found),
)
NOWHERE = (re_path("", api.not_found),)
urlpatterns = CENTRAL


def by_host(get_response):
    """Middleware: picks the addresses by host, counts the request, plays the outage."""

    def handle(request):
        name = request.get_host().partition(":")[0].lower()
        request.account = name.removesuffix(DOMAIN) if name.endswith(DOMAIN) else None
        if request.account is None:
            request.urlconf = CENTRAL
        elif request.account in state.data["accounts"]:
            request.urlconf = ACCOUNT
        else:
            request.urlconf = NOWHERE
        if not request.path.startswith("/_"):
            state.count(request.path)
        if state.data["switches"]["api_down"] and request.path.startswith("/api"):
            return api.down()
        response = get_response(request)
        response["Cache-Control"] = "no-store"
        return response

    return handle


def application():
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost", DOMAIN],  # the dot: the domain itself as well
        LOGGING_CONFIG=None,
        MIDDLEWARE=[f"{__name__}.by_host"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="nothing is signed here",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [pages.TEMPLATES],
            }
        ],
        USE_I18N=False,
    )
    # Error answers are this server's trade; only crashes are worth a line in the log.
    logging.getLogger("django.request").addFilter(lambda record: bool(record.exc_info))
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    return get_wsgi_application()


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.stand_ins.heartland", description=NAME)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--state", type=Path, default=Path("var/stand-in.json"))
    parser.add_argument(
        "--seed-client",
        action="append",
        default=[],
        metavar="ID:SECRET:REDIRECT_URI",
        help="register this OAuth app, or replace the one with this id",
    )
    options = parser.parse_args()
    try:
        state.open(options.state)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{NAME}: cannot use the state file {options.state}: {error!r}", file=sys.stderr)
        return 1
    for seed in options.seed_client:
        client_id, _, rest = seed.partition(":")
        secret, _, redirect_uri = rest.partition(":")
        if not (client_id and secret and redirect_uri):
            parser.error("--seed-client takes ID:SECRET:REDIRECT_URI")
        state.save_app("Partner Console", redirect_uri, client_id, secret)
    return serve(application(), options.port, NAME)


if __name__ == "__main__":
    sys.exit(main())
