"""Wherever the code breaks with secrets in hand, neither the log nor a report of the fault tells them."""

import copy
import inspect
import logging
import pickle
import sys
import uuid

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from console import clock, http, jobs
from console.models import Job
from installations import circuits, leases, refused, renewed, renewing, spool, standing, tokens
from installations.auth import Token, token_endpoint, token_response
from installations.auth import renewing as asking
from installations.models import Credential, CredentialVersion
from tests.rotating import connected, rotating, rotating_process, store_client  # noqa: F401 - fixtures
from tests.test_secrets_write_only import canary, found_in

pytestmark = pytest.mark.django_db(transaction=True)

MODULES = [
    tokens,
    leases,
    renewing,
    renewed,
    refused,
    standing,
    spool,
    circuits,
    asking,
    token_endpoint,
    token_response,
    http,
]
PLACES = [
    (owner, name)
    for module in MODULES
    for owner in [
        module,
        *(
            found
            for _, found in inspect.getmembers(module, inspect.isclass)
            if found.__module__ == module.__name__
        ),
    ]
    for name, found in vars(owner).items()
    if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("__")
]


def test_there_are_forty_places_at_least():
    assert len(PLACES) >= 40


@pytest.fixture
def faults(monkeypatch):
    """Reports of every fault that a job ends with, as Django's own page and mail would have them."""
    found, again = [], jobs.Claim.put_off

    def report(claim, code, after):
        request = RequestFactory().post("/", {"client_secret": "posted"})
        reporter = ExceptionReporter(request, *sys.exc_info(), is_email=False)
        found.append(reporter.get_traceback_text() + reporter.get_traceback_html())
        error = sys.exc_info()[1]
        while error is not None:
            found.append(f"{error} {error!r} {error.args!r}")
            error = error.__cause__ or error.__context__
        return again(claim, code, after)

    monkeypatch.setattr(jobs.Claim, "put_off", report)
    return found


def test_a_fault_anywhere_in_a_renewal_tells_no_secret(
    rotating,  # noqa: F811
    account,
    northwind,
    faults,
    caplog,
    monkeypatch,
):
    secret = canary("-")
    rotating.control(secrets=[secret])
    store_client(northwind, secret)
    caplog.set_level(logging.DEBUG)
    secrets, broken = {"client secret": secret}, set()
    for number, (owner, name) in enumerate(PLACES):
        grant = f"alder{number}"
        (row,) = connected(rotating, account, [grant], ends_in=-5)
        Job.objects.all().delete()
        jobs.schedule("renew", row.pk, northwind.pk)
        circuits.Circuit.objects.all().delete()

        def fail(*args, _name=name, **kwargs):
            broken.add(_name)
            raise RuntimeError("forced")

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            jobs.run(jobs.claim())
        state = rotating.state()["grants"][grant]
        stored = CredentialVersion.objects.filter(installation=row).first().token
        for token in (state["refresh"], *state["access"], stored["access_token"], stored["refresh_token"]):
            secrets[f"{name} {token[-6:]}"] = token.rpartition("-")[2]
    # Not all of them are on this way.
    assert len(broken) >= 20, sorted(broken)
    assert len(faults) >= 20
    assert "RuntimeError: forced" in caplog.text
    for name, text in (("log", caplog.text), ("reports", "\n".join(faults))):
        assert found_in(secrets, text.encode()) == [], name


def test_what_holds_a_secret_does_not_show_it_and_is_not_pickled(rotating, account, northwind):  # noqa: F811
    secret = canary("-")
    settings = store_client(northwind, secret)
    (row,) = connected(rotating, account, ["alder"])
    stored = Credential.objects.select_related("current").get(installation=row)
    token = Token.from_json(stored.current.token)
    usable = tokens.usable(row.pk)
    answer = spool.Answer(*(uuid.uuid4() for _ in range(4)), 200, secret.encode(), clock.now())
    secrets = {
        "client secret": secret,
        "access": token.access_token.rpartition("-")[2],
        "refresh": token.refresh_token.rpartition("-")[2],
    }
    assert settings.values["client_secret"] == secret
    for thing in (token, usable, stored, stored.current, row, settings, answer):
        shown = f"{thing} {thing!r} {[thing]!r} {vars(thing).keys()}"
        assert found_in(secrets, shown.encode()) == [], type(thing)
    for thing in (stored.current, settings, row):
        # Opened before: what was read goes with nobody.
        assert found_in(secrets, pickle.dumps(thing)) == [], type(thing)
    assert copy.copy(settings).values == settings.values
    for thing in (token, usable, answer):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
