"""The console's pages over HTTP, and a browser that does not wait for them."""

import os
import socket
import time
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPConnection, HTTPException
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.urls import reverse

from console.models import Membership, Partner, User
from installations.models import Installation
from tests.stand_ins.serving import serve as serve_application


def serve(port: int) -> int:
    settings.SECURE_SSL_REDIRECT = False
    # A drill is no deployment: nobody has collected static files for it.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    from django.core.wsgi import get_wsgi_application

    # Its log is of no interest to whoever reads a drill's rows.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return serve_application(get_wsgi_application(), port, "The console")


def serve_deployed(port: int) -> int:
    """As `serve`, behind the server that the README names, with one process of sixteen threads."""
    from django.core.wsgi import get_wsgi_application
    from gunicorn.app.base import BaseApplication

    class Served(BaseApplication):
        def load_config(self):
            for name, value in {
                "bind": f"127.0.0.1:{port}",
                "worker_class": "gthread",
                "threads": 16,
                "loglevel": "critical",
            }.items():
                self.cfg.set(name, value)

        def load(self):
            return get_wsgi_application()

    settings.SECURE_SSL_REDIRECT, settings.API_CALLS_PER_MINUTE = False, 10_000_000
    Served().run()
    return 0


def wait_until_it_answers(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the console does not answer")


class Browser:
    """One of a partner's people, signed in."""

    CSRF = "d" * 32

    def __init__(self, partner: Partner, port: int):
        self.port = port
        self.user = user = User.objects.create_user(f"drill@{partner.domain}", None)
        Membership.objects.create(user=user, partner=partner)
        self.session = session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        self.cookies = SimpleCookie(
            {settings.SESSION_COOKIE_NAME: session.session_key, settings.CSRF_COOKIE_NAME: self.CSRF}
        ).output(attrs=[], header="", sep=";")
        wait_until_it_answers(port)

    def leave(self) -> None:
        self.session.delete()
        self.user.delete()

    def look(self, path: str) -> int:
        """The status of a page; 0 where none came."""
        head = {"Host": urlsplit(settings.BASE_URL).netloc, "Cookie": self.cookies.strip()}
        asked = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            asked.request("GET", path, headers=head)
            return asked.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            asked.close()

    def press_and_leave(self, row: Installation, after_seconds: float) -> None:
        """Press the button that tests an installation, and close the connection that soon afterwards."""
        body = urlencode({"csrfmiddlewaretoken": self.CSRF})
        head = (
            f"POST {reverse('installation-test', args=[row.pk])} HTTP/1.1",
            f"Host: {urlsplit(settings.BASE_URL).netloc}",
            f"Cookie: {self.cookies.strip()}",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        )
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())
            time.sleep(after_seconds)
