"""An installation that is switched off is used by nobody from that moment on, and can be switched on again.

Row 31 of the scorecard: it takes effect everywhere within a second.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from console import clock, jobs
from console.models import Event, Job
from console.problems import ProblemError
from installations import links, tokens
from installations.models import Installation, SetupLink
from tests import rotating as at_rotating
from tests.conftest import open_link
from tests.rotating import connected, store_client
from tests.test_ending import hurry

pytestmark = pytest.mark.django_db(transaction=True)
rotating, rotating_process = at_rotating.rotating, at_rotating.rotating_process

SECONDS = 1.0


@pytest.fixture
def row(rotating, account, northwind) -> Installation:
    """Its token has run out: whoever uses it renews it."""
    store_client(northwind)
    return connected(rotating, account, ["g"], ends_in=-5)[0]


def switch(owner, row: Installation, how: str) -> str:
    return owner.client.post(f"/installations/{row.pk}/{how}/", follow=True).content.decode()


def asked(rotating) -> int:
    calls = rotating.asked
    return calls["token"] + calls["me"]


def take_token(row, owner) -> None:
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.code == "installation_disabled"


def test_it(row, owner) -> None:
    page = owner.client.post(f"/installations/{row.pk}/test/", follow=True).content.decode()
    assert "This installation is switched off" in page


test_it.__test__ = False


def open_its_link(row, owner) -> None:
    _, url = SetupLink.issue(row, by="owner@northwind.example")
    answer = owner.client.get(url.removeprefix("http://console.test"))
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "This installation is switched off" in page


def send_a_link(row, owner) -> None:
    assert owner.client.post(f"/installations/{row.pk}/links/").status_code == 409


def ask_for_consent_again(row, owner) -> None:
    assert owner.client.post(f"/installations/{row.pk}/reauthorise/").status_code == 409
    assert owner.client.get(f"/installations/{row.pk}/setup/review/").status_code == 409


def run_job(kind: str):
    def entrance(row, owner) -> None:
        jobs.schedule(kind, row.pk, row.partner_id)
        hurry(Job.objects.get(kind=kind, subject_id=row.pk))
        assert jobs.work() == 1
        job = Job.objects.get(kind=kind, subject_id=row.pk)
        # It goes on once the installation does.
        assert job.due_at > clock.now()
        assert job.failed_at is None

    return entrance


ENTRANCES = {
    "tokens.usable": take_token,
    "the test": test_it,
    "a setup link": open_its_link,
    "a new setup link": send_a_link,
    "re-authorising": ask_for_consent_again,
    "the job renew": run_job("renew"),
    "the job check": run_job("check"),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_is_closed_within_a_second(entrance, row, rotating, owner):
    switch(owner, row, "disable")
    off = time.monotonic()
    ENTRANCES[entrance](row, owner)
    assert time.monotonic() - off < SECONDS
    assert asked(rotating) == 0


def test_a_token_that_is_renewed_at_this_moment_is_handed_out_to_nobody(row, rotating, owner):
    rotating.control(slow=0.6)

    def ask(_):
        try:
            tokens.usable(row.pk)
        except ProblemError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, number) for number in range(8)]
        while rotating.asked["token"] == 0:
            time.sleep(0.02)
        row.set_disabled(True, by_support=False)
        assert {found.result() for found in waiting} == {"installation_disabled"}
    # The renewal itself is written: the provider has spent the token before.
    assert rotating.asked["reused"] == 0
    row.set_disabled(False)
    assert tokens.usable(row.pk).token.access_token
    assert rotating.alive("g")


def test_a_setup_link_that_is_open_already_ends_at_the_next_click(row, owner):
    browser, link, _ = open_link(row)
    switch(owner, row, "disable")
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 409
    with pytest.raises(ProblemError):
        links.refuse_closed(links.find(link.pk))


def test_switched_on_again_it_goes_on_as_before(row, rotating, owner):
    switch(owner, row, "disable")
    assert "Switched on." in switch(owner, row, "enable")
    for kind in ("renew", "check"):
        hurry(Job.objects.get(kind=kind, subject_id=row.pk))
    jobs.work()
    row.refresh_from_db()
    assert row.state == "connected"
    assert row.last_worked_at
    assert tokens.usable(row.pk).token.access_token
    assert rotating.asked["token"] == 1
    kinds = Event.objects.filter(kind__startswith="installation.").values_list("kind", "actor")
    assert list(kinds.order_by("at")) == [
        ("installation.disabled", owner.user.email),
        ("installation.enabled", owner.user.email),
    ]


def test_what_support_has_switched_off_the_partner_cannot_switch_on(row, owner):
    switch(owner, row, "disable")
    row.set_disabled(True)
    page = switch(owner, row, "enable")
    assert "only support can switch it on again" in page
    assert "Switched off by support" in page
    with pytest.raises(ProblemError):
        tokens.usable(row.pk)
    assert row.set_disabled(False)
    assert not Installation.objects.get(pk=row.pk).disabled_by_support


def test_the_page_says_who_switched_it_off(row, owner):
    assert "Switch off" in owner.client.get(f"/installations/{row.pk}/").content.decode()
    page = switch(owner, row, "disable")
    assert "Switched off by support" not in page
    assert "Nothing uses it" in page
    assert "Switch on" in page
