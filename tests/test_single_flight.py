"""However many ask at once, a token is renewed by one; and one that stalls overwrites nothing."""

import threading

import pytest
from django.db import connection

from console.problems import ProblemError
from installations import health, tokens
from installations.models import Credential
from tests.drills import acts, flights
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_hundred_callers_of_four_processes_make_one_request(field):
    figure = flights.single_flight(field, full(3, 50))
    assert figure, figure


def test_a_token_endpoint_that_takes_fifteen_seconds_is_asked_once(field):
    for _ in range(full(1, 5)):
        figure = flights.slow_provider(field, seconds=full(4, 15), lease=60)
        assert figure, figure


def test_a_lease_that_runs_out_during_the_request_lets_nobody_send_it_again(field):
    figure = flights.slow_provider(field, seconds=4, lease=1)
    assert figure, figure


@pytest.mark.parametrize("method", ["grace", "single_use", "strict"])
def test_a_holder_that_stalls_past_its_lease_does_no_harm(field, method):
    figure = flights.stalled_holder(field, full(5, 20), method, lease=full(2, 10))
    assert figure, figure


def test_who_waits_too_long_is_told_when_to_come_back(field, monkeypatch):
    (row,) = field.connected(1)
    field.server.control(slow=3)
    before = field.asked()
    holder = field.child(acts.use, [row.pk], 1)
    field.wait_until(lambda: field.asked() == before + 1)
    monkeypatch.setattr(tokens, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert (caught.value.code, caught.value.problem.status) == ("renewal_under_way", 503)
    assert caught.value.retry_after.total_seconds() > 0
    assert holder.answer()[0][0] == "token"
    assert field.asked() == before + 1


def test_fifty_that_were_refused_with_the_same_token_renew_it_once(field):
    (row,) = field.connected(1, ends_in=3600)
    field.server.control(expire=row.name, slow=0.3)
    refused = Credential.objects.get(installation=row).current_id
    found = set()

    def ask():
        try:
            found.add(tokens.usable(row.pk, rejected=refused).token.access_token)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {row.current_token().access_token}
    assert field.asked() == 1


def test_a_token_that_is_refused_though_new_is_renewed_once_and_then_reported(field):
    (row,) = field.connected(1, ends_in=3600)
    field.server.control(me_answers=[401, 401, 401])
    with pytest.raises(ProblemError) as caught:
        health.check(row)
    assert caught.value.code == "credential_rejected"
    assert (field.asked(), field.asked("me")) == (1, 2)
    assert not field.lost([row])


def test_clocks_that_are_ten_minutes_wrong_change_nothing(field):
    figure = flights.clocks(field)
    assert figure, figure


@pytest.mark.skipif(connection.vendor != "postgresql", reason="elsewhere each thread has its own connection")
def test_who_waits_for_a_provider_holds_no_connection(field):
    (row,) = field.connected(1)
    field.server.control(slow=4)
    before = field.asked()
    looking = field.child(acts.look_while_another_waits, row.pk, 2)
    assert looking.answer() < 1
    assert field.asked() == before + 1
