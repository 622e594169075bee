"""Tokens are renewed by exactly one caller, and what a provider gave is never lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from connectors import registry
from console import clock, jobs
from console.models import Job
from console.problems import ProblemError
from installations import standing, tokens
from installations.auth import Token
from installations.models import Alert, Credential, CredentialVersion, Installation
from tests.rotating import connected, rotating, rotating_process, store_client  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client_stored(rotating, northwind):  # noqa: F811
    return store_client(northwind)


def test_a_fresh_token_is_handed_out_as_it_is(rotating, account, client_stored):  # noqa: F811
    (row,) = connected(rotating, account, ["g"])
    assert tokens.usable(row.pk).token.access_token.startswith("at-g-")
    assert rotating.asked["token"] == 0


def test_a_token_that_ran_out_is_renewed(rotating, account, client_stored):  # noqa: F811
    (row,) = connected(rotating, account, ["g"], ends_in=-5)
    before = row.current_token()
    found = tokens.usable(row.pk)
    assert found.token.access_token != before.access_token
    assert found.token.refresh_token != before.refresh_token
    assert rotating.asked["token"] == 1
    assert tokens.usable(row.pk).token == found.token
    assert rotating.asked == {**rotating.asked, "token": 1, "reused": 0}


def test_fifty_at_once_make_one_request(rotating, account, client_stored):  # noqa: F811
    (row,) = connected(rotating, account, ["g"], ends_in=-5)
    rotating.control(slow=0.5)

    def ask(_):
        try:
            return tokens.usable(row.pk).token.access_token
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        found = set(pool.map(ask, range(50)))
    assert len(found) == 1
    assert rotating.asked["token"] == 1
    assert rotating.alive("g")


def test_a_withdrawn_grant_needs_attention(rotating, account, client_stored):  # noqa: F811
    (row,) = connected(rotating, account, ["g"], ends_in=-5)
    rotating.post("/_control", {"answers": []})
    Credential.objects.filter(installation=row).update()
    import requests

    requests.post(rotating.origin + "/revoke", data={"token": row.current_token().refresh_token}, timeout=5)
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.code == "grant_ended"
    row.refresh_from_db()
    assert (row.status, row.problem) == ("needs_attention", "grant_ended")


def test_a_token_that_outlives_its_grant_is_handed_out_to_its_end(rotating, account, client_stored):  # noqa: F811
    import requests

    (row,) = connected(rotating, account, ["g"], ends_in=50)
    requests.post(rotating.origin + "/revoke", data={"token": row.current_token().refresh_token}, timeout=5)
    found = tokens.usable(row.pk)
    assert (found.token.access_token, found.problem) == (row.current_token().access_token, "grant_ended")
    row.refresh_from_db()
    assert (row.status, row.problem) == ("needs_attention", "grant_ended")
    # Nobody asks for a renewal once more, whoever wants the token, and a check that passes mends nothing.
    asked = rotating.asked["token"]
    assert tokens.usable(row.pk, ahead=True).problem == "grant_ended"
    assert not row.worked(found.version)
    with pytest.raises(ProblemError, match="grant_ended"):
        tokens.usable(row.pk, rejected=found.version.pk)
    with pytest.raises(ProblemError, match="grant_ended"):
        tokens.renew_now(row.pk)
    CredentialVersion.objects.update(expires_at=clock.now())
    with pytest.raises(ProblemError, match="grant_ended"):
        tokens.usable(row.pk)
    assert rotating.asked["token"] == asked


def test_a_wrong_partner_secret_breaks_nothing(rotating, account, northwind, client_stored):  # noqa: F811
    rows = connected(rotating, account, ["a", "b", "c"], ends_in=-5)
    store_client(northwind, "wrong")
    for row in rows:
        with pytest.raises(ProblemError) as caught:
            tokens.usable(row.pk)
        assert caught.value.code == "invalid_client"
    assert Installation.objects.filter(status="connected").count() == 3
    assert Alert.objects.count() == 1
    assert rotating.asked["token"] == 1


@pytest.mark.parametrize(("lives", "ahead"), [(300, 150), (3600, 900), (30 * 86_400, 900), (60, 30)])
def test_a_token_is_renewed_a_quarter_of_an_hour_ahead_or_at_half_of_its_life(rotating, lives, ahead):  # noqa: F811
    method = registry.get("rotating-test").manifest.method("strict")
    now = clock.now()
    token = Token(access_token="a", refresh_token="r", expires_at=now + timedelta(seconds=lives))
    found = {(token.expires_at - standing.renew_at(method, token, now)).total_seconds() for _ in range(500)}
    assert ahead * 0.9 <= min(found) < ahead * 0.95
    assert ahead * 1.05 < max(found) <= ahead * 1.1


def test_a_token_of_five_minutes_is_not_renewed_in_a_loop(rotating, account, client_stored):  # noqa: F811
    rotating.control(lifetime=300)
    (row,) = connected(rotating, account, ["g"], ends_in=-5)
    jobs.schedule("renew", row.pk, row.partner_id)
    assert jobs.work() == 1
    waits = (Job.objects.get(kind="renew", subject_id=row.pk).due_at - clock.now()).total_seconds()
    assert 130 < waits < 170
    assert (jobs.work(), rotating.asked["token"]) == (0, 1)
