"""A partner's people are told once, together, and not oftener than each hour."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.models import Event, Job, Membership
from installations import alerts
from installations.models import Alert, Circuit, DigestItem, Installation, Notice, Status
from installations.notices import endings, items
from installations.notices import mailing as sending
from tests import mailing
from tests.mailing import SLUG, actor, body, breaks, customer, do, due, mends
from tests.product import full

pytestmark = pytest.mark.django_db

mails = mailing.mails

SOON, HOUR = timedelta(minutes=2, seconds=5), timedelta(hours=1)


def an_hour_passes() -> None:
    """The last digest was sent an hour ago."""
    Notice.objects.filter(kind="digest").update(sent_at=clock.now() - HOUR)


# ── when ────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_is_sent_after_two_minutes_and_more_does_not_put_it_off(mails, owner):
    breaks(customer(owner.partner))
    first = due("digest")
    assert timedelta(seconds=100) < first - clock.now() <= SOON
    assert do("digest") == 0
    nearly = clock.now() + timedelta(seconds=10)
    Job.objects.filter(kind="digest").update(due_at=nearly)
    breaks(customer(owner.partner))
    assert due("digest") == nearly
    assert do("digest", SOON) == 1
    (mail,) = mails.mails
    assert mail["Subject"] == "2 connections need attention"
    assert mail["To"] == owner.user.email
    assert not Job.objects.filter(kind="digest").exists()


def test_the_next_is_sent_an_hour_later(mails, owner):
    breaks(customer(owner.partner))
    do("digest", SOON)
    breaks(customer(owner.partner, "Pine Works"))
    assert do("digest", SOON) == 1
    assert len(mails.mails) == 1
    assert timedelta(minutes=59) < due("digest") - clock.now() <= HOUR
    an_hour_passes()
    do("digest", HOUR)
    assert len(mails.mails) == 2
    assert "Pine Works" in body(mails.mails[1])
    assert "Harbor Street" not in body(mails.mails[1])


def test_what_comes_while_one_is_being_written_is_in_the_next(mails, owner, monkeypatch):
    breaks(customer(owner.partner))
    late = customer(owner.partner, "Pine Works")
    send = sending.send

    def slow(*args, **kwargs):
        breaks(late)
        send(*args, **kwargs)

    monkeypatch.setattr(sending, "send", slow)
    do("digest", SOON)
    monkeypatch.undo()
    assert "Pine Works" not in body(mails.mails[0])
    assert due("digest")
    an_hour_passes()
    do("digest", HOUR)
    assert "Pine Works" in body(mails.mails[1])


# ── what ────────────────────────────────────────────────────────────────────────────────────────


def test_many_that_break_of_one_cause_are_one_line_of_one_mail(mails, owner):
    rows = [customer(owner.partner, f"Shop {number:03}") for number in range(full(50, 500))]
    breaks(*rows)
    do("digest", SOON)
    (mail,) = mails.mails
    text = body(mail)
    assert text.count("Heartland Retail") == 1
    assert f"does not accept this credential: {len(rows)} connections." in text
    assert f"and {len(rows) - 3} more" in text
    assert f"http://console.test/installations/?state=needs_attention&connector={SLUG}" in text
    assert Notice.objects.count() == 1


def test_one_that_breaks_is_named_with_its_own_page(mails, owner):
    row = customer(owner.partner)
    breaks(row)
    do("digest", SOON)
    assert "Heartland Retail does not accept this credential: Harbor Street Outfitters." in body(
        mails.mails[0]
    )
    assert f"http://console.test/installations/{row.pk}/" in body(mails.mails[0])


def test_nothing_is_told_twice_unless_it_got_better_and_worse_again(mails, owner):
    row = customer(owner.partner)
    breaks(row)
    do("digest", SOON)
    an_hour_passes()
    assert do("digest", HOUR) == 0
    mends(row)
    breaks(row)
    do("digest", HOUR)
    assert len(mails.mails) == 2


def test_what_got_better_before_it_was_told_is_not_told(mails, owner):
    row, gone = customer(owner.partner), customer(owner.partner)
    breaks(row, gone)
    mends(row)
    gone.remove()
    assert do("digest", SOON) == 1
    assert mails.mails == []
    assert Notice.objects.count() == 0
    assert not Job.objects.filter(kind="digest").exists()
    breaks(row)
    do("digest", SOON)
    assert len(mails.mails) == 1


def test_try_outs_and_what_support_has_switched_off_are_not_told(mails, owner):
    tried, off = customer(owner.partner), customer(owner.partner)
    breaks(tried, off)
    Installation.objects.filter(pk=tried.pk).update(is_tryout=True)
    off.set_disabled(True)
    do("digest", SOON)
    assert mails.mails == []


def test_an_alert_is_told_with_what_to_do(mails, owner):
    for _ in range(3):
        alerts.raise_alert(owner.partner.pk, SLUG, "invalid_client", "Heartland Retail", "no such client")
    do("digest", SOON)
    (mail,) = mails.mails
    assert mail["Subject"] == "Heartland Retail does not accept the application's credentials"
    assert f"http://console.test/connectors/library/{SLUG}/settings/" in body(mail)
    assert "Copy the Client ID" in body(mail)
    alerts.close_alerts(owner.partner.pk, SLUG, "invalid_client")
    an_hour_passes()
    alerts.raise_alert(owner.partner.pk, SLUG, "invalid_client", "Heartland Retail")
    do("digest", HOUR)
    assert len(mails.mails) == 2


def test_an_alert_that_closed_before_it_was_told_is_not_told(mails, owner):
    alerts.raise_alert(owner.partner.pk, SLUG, "invalid_client", "Heartland Retail")
    alerts.close_alerts(owner.partner.pk, SLUG)
    assert do("digest", SOON) == 1
    assert mails.mails == []


def test_no_secret_and_no_link_that_signs_in_stands_in_it(mails, owner):
    breaks(customer(owner.partner))
    do("digest", SOON)
    assert "canary" not in mails.taken[0][1].decode()
    assert "/s/" not in body(mails.mails[0])
    assert Notice.objects.get().text.strip() == body(mails.mails[0]).strip()


# ── to whom ─────────────────────────────────────────────────────────────────────────────────────


def test_everybody_of_the_company_is_mailed_who_wants_it_and_nobody_else(
    mails,
    owner,
    colleague,
    stranger,
    staff,
):
    breaks(customer(owner.partner))
    do("digest", SOON)
    assert mails.taken[0][0] == [colleague.user.email, owner.user.email]
    answer = owner.client.post("/e-mail-settings/", {}, follow=True)
    assert "Saved." in answer.content.decode()
    an_hour_passes()
    breaks(customer(owner.partner))
    do("digest", SOON)
    assert mails.taken[1][0] == [colleague.user.email]
    assert len(mails.taken) == 2


def test_where_nobody_wants_it_nothing_is_sent_and_nothing_is_left(mails, owner):
    Membership.objects.update(wants_digest=False)
    breaks(customer(owner.partner))
    assert do("digest", SOON) == 1
    assert (mails.mails, Notice.objects.count()) == ([], 0)
    assert not DigestItem.objects.filter(told_at=None).exists()


def test_a_partner_that_is_paused_is_not_mailed(mails, owner):
    breaks(customer(owner.partner))
    owner.partner.is_active = False
    owner.partner.save()
    do("digest", SOON)
    assert mails.mails == []


# ── failures ────────────────────────────────────────────────────────────────────────────────────


def test_a_mail_server_that_is_down_is_tried_again_and_the_notice_says_so(mails, owner):
    breaks(customer(owner.partner))
    mails.down = True
    for _ in range(3):
        do("digest", HOUR)
    (notice,) = Notice.objects.all()
    assert (notice.sent_at, notice.failure) == (None, "The mail server did not take it.")
    assert Job.objects.get(kind="digest").last_error == "mail_failed"
    assert Event.objects.filter(kind="notice.failed").count() == 1
    assert "did not take it" in owner.client.get("/notices/").content.decode()
    mails.down = False
    do("digest", HOUR)
    assert len(mails.mails) == 1
    notice = Notice.objects.get()
    assert notice.sent_at
    assert notice.failure == ""


def test_a_digest_that_is_sent_twice_by_an_accident_is_the_same_mail(mails, owner, monkeypatch):
    breaks(customer(owner.partner))
    sent = sending.sent
    monkeypatch.setattr(sending, "sent", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("ended here")))
    do("digest", SOON)
    monkeypatch.setattr(sending, "sent", sent)
    do("digest", HOUR)
    first, second = mails.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert Notice.objects.count() == 1


def test_without_a_mail_server_it_stands_in_the_console(mails, owner, settings):
    settings.CAN_MAIL = False
    breaks(customer(owner.partner))
    do("digest", SOON)
    assert mails.mails == []
    assert Notice.objects.get().failure == "This server is not set up to send e-mail."
    assert not Job.objects.filter(kind="digest").exists()
    assert "not set up to send e-mail" in owner.client.get("/notices/").content.decode()


# ── ahead ───────────────────────────────────────────────────────────────────────────────────────


def look() -> None:
    endings.begin()
    do("look_ahead")


def noted() -> list[str]:
    """How many days ahead something was noted, each time."""
    return sorted(row.about.rsplit(":", 1)[1] for row in DigestItem.objects.all())


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=7, minutes=1), []),
        (timedelta(days=6, hours=23), ["7"]),
        (timedelta(days=1, minutes=1), ["7"]),
        (timedelta(hours=23), ["1"]),
        (timedelta(hours=-1), []),
    ],
)
def test_the_end_of_a_grant_is_told_seven_days_and_one_day_ahead(mails, owner, left, expected):
    since = timezone.now() - timedelta(days=80)
    customer(owner.partner, connected_at=since, grant_expires_at=timezone.now() + left)
    look()
    look()
    assert noted() == expected
    if expected == ["1"]:
        # Told a week ahead, it is told once more.
        item = DigestItem.objects.get()
        DigestItem.objects.update(about=item.about.removesuffix("1") + "7", told_at=timezone.now())
        look()
        assert noted() == ["1", "7"]


def test_the_end_of_a_partner_s_secret_is_told_four_times(mails, owner):
    settings = ConnectorSettings.objects.for_connector(owner.partner.pk, SLUG)
    settings.change(actor(owner.partner), {"client_secret": "canary-secret"})
    today = clock.now().date()
    for days, expected in [
        (61, []),
        (60, ["60"]),
        (31, ["60"]),
        (30, ["30"]),
        (7, ["7"]),
        (1, ["1"]),
        (0, ["1"]),
    ]:
        DigestItem.objects.all().delete()
        ConnectorSettings.objects.update(secret_expires_on=today + timedelta(days=days))
        look()
        look()
        assert noted() == expected, days
    do("digest", SOON)
    text = body(mails.mails[0])
    assert "The secret of your application at Heartland Retail ends on" in text
    assert f"/connectors/library/{SLUG}/settings/" in text
    assert "canary" not in text
    look()
    assert not DigestItem.objects.filter(told_at=None).exists()


def test_what_is_given_for_a_few_days_only_is_not_announced_a_week_ahead(mails, owner):
    now = timezone.now()
    customer(owner.partner, connected_at=now, grant_expires_at=now + timedelta(days=6))
    customer(owner.partner, connected_at=now, grant_expires_at=now + timedelta(hours=20))
    look()
    assert not DigestItem.objects.exists()


def test_several_ends_are_one_line(mails, owner):
    now = timezone.now()
    for number in range(5):
        customer(owner.partner, f"Shop {number}", grant_expires_at=now + timedelta(days=5))
    look()
    do("digest", SOON)
    text = body(mails.mails[0])
    assert mails.mails[0]["Subject"] == "5 things end soon"
    assert text.count("5 connections to Heartland Retail end soon, the first on") == 1


def test_an_end_that_was_put_off_is_not_told(mails, owner):
    row = customer(owner.partner, grant_expires_at=timezone.now() + timedelta(days=5))
    look()
    Installation.objects.filter(pk=row.pk).update(grant_expires_at=timezone.now() + timedelta(days=80))
    do("digest", SOON)
    assert mails.mails == []


def test_a_look_ahead_comes_round_each_hour(mails, owner):
    look()
    assert timedelta(minutes=59) < due("look_ahead") - clock.now() <= HOUR


# ── alerts close ────────────────────────────────────────────────────────────────────────────────


def raised(partner) -> None:
    alerts.raise_alert(partner.pk, SLUG, "invalid_client", "Heartland Retail")
    Circuit.objects.create(partner=partner, connector=SLUG, since=clock.now())
    Alert.objects.update(last_at=clock.now() - timedelta(hours=2))


def test_an_alert_closes_when_nothing_is_left_that_feels_it(mails, owner):
    row = customer(owner.partner)
    raised(owner.partner)
    look()
    assert Alert.objects.get().closed_at is None
    Installation.objects.filter(pk=row.pk).update(status=Status.DISCONNECTED)
    look()
    assert Alert.objects.get().closed_at
    assert Event.objects.get(kind="alert.closed").text.startswith("Over: Heartland Retail does not accept")


def test_an_alert_closes_when_the_provider_lets_renewals_through(mails, owner):
    customer(owner.partner)
    raised(owner.partner)
    Circuit.objects.all().delete()
    look()
    assert Alert.objects.get().closed_at


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there one writes at a time")
@pytest.mark.django_db(transaction=True)
def test_what_is_noted_as_a_digest_ends_waits_for_it(northwind, monkeypatch):
    """Both lock the job before what is told: otherwise each would hold what the other wants."""
    items.note(northwind.pk, "attention:a")
    Job.objects.update(due_at=clock.now())
    claim = jobs.claim()
    is_noted, gather = threading.Event(), items.gather

    def gathered(partner_id):
        is_noted.set()
        gather(partner_id)

    def note():
        try:
            items.note(northwind.pk, "attention:a")
        finally:
            connections.close_all()

    monkeypatch.setattr(items, "gather", gathered)
    with ThreadPoolExecutor(1) as pool:
        with claim.finish():
            noting = pool.submit(note)
            is_noted.wait(10)
            time.sleep(0.3)
            DigestItem.objects.update(told_at=clock.now())
        noting.result(10)
    assert items.fresh(northwind.pk).count() == 1
    assert Job.objects.get().kind == "digest"
