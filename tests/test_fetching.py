"""What a partner's software gets while a token is renewed, slowly, badly, or not at all.

The six tests (T1 to T6) in which open peers break: many at once, a renewal that takes longer than a lock, a
grant that has ended and one failure of the provider while the token is still good, several processes.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connection

from tests.calling import caller
from tests.drills import flights
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def fetch_at_once(api, row, many: int) -> list:
    def fetch(_):
        try:
            return api("GET", f"/installations/{row.pk}/credential")
        finally:
            connection.close()

    with ThreadPoolExecutor(many) as threads:
        return list(threads.map(fetch, range(many)))


def test_t1_forty_fetches_at_once_cost_one_renewal_and_get_one_token(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=30)
    field.server.control(slow=1.5)
    before, started = field.asked(), time.monotonic()
    answers = fetch_at_once(api, row, 40)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert field.asked() == before + 1
    # One and a half for the provider; the rest is forty answers on a busy machine.
    assert time.monotonic() - started < 10


def test_t2_a_renewal_that_is_wanted_now_is_made_now(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=3600)
    first = api("GET", f"/installations/{row.pk}/credential").json()
    second = api("GET", f"/installations/{row.pk}/credential?rejected={first['version']}").json()
    assert second["access_token"] != first["access_token"]


def test_t3_a_renewal_that_takes_longer_than_the_lease_is_sent_once(field):
    figure = flights.slow_provider(field, seconds=full(4, 12), lease=full(2, 10))
    assert figure, figure


def test_t4_a_grant_that_has_ended_takes_no_token_away_that_still_works(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=50)
    token = row.current_token()
    requests.post(field.server.origin + "/revoke", data={"token": token.refresh_token}, timeout=5)
    for _ in range(3):
        answer = api("GET", f"/installations/{row.pk}/credential")
        assert answer.status_code == 200
        assert answer.json()["access_token"] == token.access_token
        assert answer.json()["renewal_problem"] == "grant_ended"
    assert api("GET", f"/installations/{row.pk}/proxy/items").headers["Via"]
    assert api("GET", f"/installations/{row.pk}").json()["state"] == "needs_attention"


def test_t5_one_failure_of_the_provider_costs_nobody_anything(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=50)
    field.server.control(down=500)
    answer = api("GET", f"/installations/{row.pk}/credential")
    assert (answer.status_code, answer.json()["renewal_problem"]) == (200, "provider_unavailable")
    field.server.control(down=0)
    field.age(600)
    answer = api("GET", f"/installations/{row.pk}/credential")
    assert (answer.status_code, answer.json()["renewal_problem"]) == (200, None)
    assert api("GET", f"/installations/{row.pk}").json()["state"] == "connected"


def test_t6_several_processes_send_a_rotating_refresh_token_once(field):
    figure = flights.single_flight(field, full(1, 10))
    assert figure, figure
