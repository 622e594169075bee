"""An outage costs nothing but time, and a partner's mistake costs no customer anything."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from console import clock, retry_after
from console.problems import ProblemError
from installations import circuits, tokens
from installations.models import Alert, Circuit, Credential
from tests.drills import acts, outages
from tests.product import full
from tests.rotating import store_client

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_provider_that_is_down_for_ten_minutes_is_asked_twice_a_minute_and_breaks_nothing(field):
    figure = outages.outage(field, full(20, 50), minutes=full(3, 10))
    assert figure, figure


def test_a_wrong_partner_secret_makes_one_alert_and_breaks_no_installation(field):
    figure = outages.wrong_secret(field, full(60, 500))
    assert figure, figure


def test_the_right_secret_ends_the_alert_with_the_first_renewal(field):
    (row,) = field.connected(1)
    store_client(field.partner, "wrong")
    with pytest.raises(ProblemError):
        tokens.usable(row.pk)
    store_client(field.partner)
    field.age(301, Credential, Circuit)
    assert tokens.usable(row.pk).token == row.current_token()
    assert not Circuit.objects.exists()
    assert not Alert.objects.filter(closed_at=None).exists()


def test_those_that_failed_together_do_not_come_back_together(field):
    figure = outages.spread(field)
    assert figure, figure


def test_a_limit_on_requests_is_kept_and_everything_is_renewed_in_time(field):
    figure = outages.limited(field, full(45, 1000))
    assert figure, figure


def test_a_renewal_that_succeeds_lets_those_go_on_that_waited_for_the_provider(field):
    rows = field.connected(12)
    field.server.control(down=503)
    acts.use([row.pk for row in rows], 1)
    # The first to fail have a short wait, which may be over by now; the circuit's is half a minute.
    waiting = Credential.objects.filter(retry_at__gt=clock.now())
    assert Credential.objects.exclude(retry_at=None).count() == 12
    assert waiting.count() >= 6
    field.server.control(down=0)
    field.age(31, Circuit)
    tokens.renew_now(rows[0].pk)
    assert not waiting.exists()


NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WAITS = {
    "120": 120,
    format_datetime(NOW + timedelta(seconds=90), usegmt=True): 90,
    format_datetime(NOW - timedelta(days=1), usegmt=True): 0,
    str(10 * 365 * 86400): retry_after.LIMIT.total_seconds(),
    format_datetime(NOW + timedelta(days=3650), usegmt=True): retry_after.LIMIT.total_seconds(),
    "soon": None,
}


@pytest.mark.parametrize(("text", "seconds"), WAITS.items())
def test_what_an_answer_asks_to_wait_is_understood(text, seconds):
    found = retry_after.parse(text, NOW)
    assert (found and found.total_seconds()) == seconds or found == timedelta(0) == timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [429, 503])
def test_a_renewal_waits_as_long_as_the_provider_asks(field, status):
    (row,) = field.connected(1)
    field.server.control(answers=[status], retry_after="600")
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.retry_after == timedelta(seconds=600)
    waits = Credential.objects.get(installation=row).retry_at - clock.now()
    assert timedelta(seconds=590) < waits <= timedelta(seconds=600)


def test_a_token_that_lives_is_used_while_the_provider_is_down(field):
    (row,) = field.connected(1, ends_in=50)
    field.server.control(down=503)
    started = time.monotonic()
    assert tokens.usable(row.pk).token == row.current_token()
    assert tokens.usable(row.pk).token == row.current_token()
    assert field.asked() == 1
    assert time.monotonic() - started < 5


def test_a_wrong_secret_opens_at_once_though_another_process_has_just_begun_to_count(northwind, monkeypatch):
    begin, met = circuits._begin, []

    def second(*args):
        if not met:
            met.append(args)
            circuits.failed(northwind.pk, "rotating-test", "provider_unavailable")
        return begin(*args)

    monkeypatch.setattr(circuits, "_begin", second)
    circuits.failed(northwind.pk, "rotating-test", "invalid_client", at_once=circuits.REFUSED_FOR)
    row = Circuit.objects.get()
    assert (row.problem, row.failures) == ("invalid_client", 1)
    assert row.open_until - clock.now() > timedelta(minutes=4)
    with pytest.raises(circuits.Open):
        circuits.enter(northwind.pk, "rotating-test")
