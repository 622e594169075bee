"""A customer is told where only the customer can mend it: seldom, and with one link that is good."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from unicodedata import category

import pytest
import requests
from django.db import connection
from django.test import Client
from django.utils import timezone

from connectors import registry
from connectors.authoring import drafts
from connectors.authoring.beginning import begin as begin_texts
from console import clock, jobs
from console.models import Account, Event, Job, Partner
from installations.models import Notice, SetupLink
from installations.notices import endings
from installations.notices import mailing as sending
from installations.notices.customers import NOT_KEPT, ONLY_THE_CUSTOMER
from installations.notices.mailing import unlinked
from tests import mailing, rotating
from tests.mailing import addresses, body, breaks, customer, do, due, mends
from tests.stand_ins.process import ROOT
from tests.test_callback import dump

pytestmark = pytest.mark.django_db

mails = mailing.mails
rotating_process, rotating_server = rotating.rotating_process, rotating.rotating

WEEK = timedelta(days=7)


@pytest.fixture
def partner(northwind) -> Partner:
    northwind.tells_customers = True
    northwind.save()
    return northwind


def link_in(mail) -> str:
    (url,) = [word for word in body(mail).split() if word.startswith("http://console.test/s/")]
    return url


def found_in(mail) -> set[str]:
    """What a mail program makes a link of."""
    return {found.strip("(),.") for found in addresses(body(mail)) | addresses(mail["Subject"])}


def a_week_passes() -> None:
    Notice.objects.update(sent_at=clock.now() - WEEK)
    SetupLink.objects.update(expires_at=clock.now())


# ── what is sent ────────────────────────────────────────────────────────────────────────────────


def test_the_mail_names_the_partner_and_leads_to_the_wizard(mails, partner):
    row = customer(partner)
    breaks(row)
    assert do("tell") == 1
    (mail,) = mails.to(row.account.email)
    assert mail["Subject"] == "Northwind Software: your connection to Heartland Retail needs you"
    assert mail["To"] == row.account.email
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Northwind Software (northwind.example) was connected to your Heartland Retail account" in body(
        mail
    )
    browser = Client(HTTP_HOST="console.test")
    answer = browser.get(link_in(mail).removeprefix("http://console.test"), follow=True)
    assert answer.status_code == 200
    assert "Northwind Software" in answer.content.decode()
    link = SetupLink.objects.get()
    assert (link.installation, link.email, link.is_live) == (row, row.account.email, True)


def test_the_link_is_in_the_mail_and_nowhere_else(mails, partner, owner):
    row = customer(partner)
    breaks(row)
    do("tell")
    token = link_in(mails.mails[0]).split("/")[-2]
    assert token not in repr(dump())
    notice = Notice.objects.get()
    assert NOT_KEPT in notice.text
    assert notice.text.replace(NOT_KEPT, link_in(mails.mails[0])).strip() == body(mails.mails[0]).strip()
    assert "canary" not in mails.taken[0][1].decode()
    page = owner.client.get(f"/notices/{notice.pk}/").content.decode()
    assert "not kept" in page
    assert "/s/" not in page
    told = Event.objects.get(kind="notice.sent")
    assert (told.subject_id, told.text) == (
        row.pk,
        f"The customer was told by e-mail, at {row.account.email}",
    )


@pytest.mark.parametrize("problem", sorted(ONLY_THE_CUSTOMER.keys() - {"ending"}))
def test_what_only_the_customer_can_mend_is_told(mails, partner, problem):
    breaks(customer(partner), problem=problem)
    do("tell")
    assert len(mails.mails) == 1
    assert "{" not in body(mails.mails[0])


@pytest.mark.parametrize("problem", ["renewal_unknown", "invalid_client", "wrong_account"])
def test_what_the_partner_mends_is_not_told_to_the_customer(mails, partner, problem):
    breaks(customer(partner), problem=problem)
    assert do("tell") == 1
    assert mails.mails == []


def change(rows, **fields) -> None:
    type(rows).objects.filter(pk=rows.pk).update(**fields)


UNWANTED = {
    "the partner does not want it": lambda row: change(row.partner, tells_customers=False),
    "the partner is paused": lambda row: change(row.partner, is_active=False),
    "no address is known": lambda row: change(row.account, email=""),
    "support has switched it off": lambda row: change(row, disabled_at=timezone.now()),
    "it is a try-out": lambda row: change(row, is_tryout=True),
    "the connector is gone": lambda row: change(row, connector="gone", release=None),
    "it works again": mends,
    "it was disconnected": lambda row: row.disconnect(),
    "it was deleted": lambda row: row.remove(),
}


@pytest.mark.parametrize("why", UNWANTED)
def test_nobody_is_told_where(mails, partner, why):
    row = customer(partner)
    breaks(row)
    UNWANTED[why](row)
    assert do("tell") == 1
    assert (mails.mails, Notice.objects.count()) == ([], 0)
    assert not Job.objects.filter(kind="tell").exists()


def test_a_customer_is_told_seven_days_ahead_of_an_end(mails, partner):
    end = timezone.now() + timedelta(days=6)
    row = customer(partner, grant_expires_at=end)
    customer(partner, grant_expires_at=timezone.now() + timedelta(days=9))
    endings.begin()
    do("look_ahead")
    (mail,) = mails.mails
    assert mail["To"] == row.account.email
    assert mail["Subject"] == "Northwind Software: your connection to Heartland Retail ends soon"
    assert f"ends on {end.day} {end:%b %Y}" in body(mail)
    do("look_ahead", timedelta(hours=2))
    assert not Job.objects.filter(kind="tell").exists()


# ── how often ───────────────────────────────────────────────────────────────────────────────────


def test_a_customer_is_told_at_most_once_a_week(mails, partner):
    row = customer(partner)
    for _ in range(3):
        breaks(row)
        do("tell")
        mends(row)
        SetupLink.objects.update(revoked_at=timezone.now())
    assert len(mails.mails) == 1
    breaks(row)
    do("tell")
    assert timedelta(days=6, hours=23) < due("tell") - clock.now() <= WEEK
    a_week_passes()
    do("tell", WEEK)
    assert len(mails.mails) == 2


def test_nobody_is_told_while_a_link_is_on_its_way(mails, partner):
    row = customer(partner)
    link, _ = SetupLink.issue(row, by="owner@northwind.example", email="shop@customer.example")
    breaks(row)
    do("tell")
    assert mails.mails == []
    assert due("tell") == link.expires_at
    a_week_passes()
    do("tell", WEEK)
    assert len(mails.mails) == 1


def test_each_installation_is_counted_by_itself(mails, partner):
    rows = [customer(partner) for _ in range(3)]
    breaks(*rows)
    assert do("tell") == 3
    assert sorted(mail["To"] for mail in mails.mails) == sorted(row.account.email for row in rows)


# ── failures ────────────────────────────────────────────────────────────────────────────────────


def test_a_mail_server_that_is_down_leaves_no_link_and_is_tried_again(mails, partner):
    row = customer(partner)
    breaks(row)
    mails.down = True
    do("tell")
    do("tell", timedelta(hours=1))
    assert SetupLink.objects.count() == 0
    assert Notice.objects.get().failure == "The mail server did not take it."
    (failed,) = Event.objects.filter(kind="notice.failed")
    assert failed.subject_id == row.pk
    mails.down = False
    do("tell", timedelta(hours=1))
    assert len(mails.mails) == 1
    assert Notice.objects.get().sent_at
    assert SetupLink.objects.get().is_live


def test_an_address_that_is_refused_is_said_and_not_tried_again(mails, partner, owner):
    row = customer(partner)
    mails.refused[row.account.email] = "550 no such user"
    breaks(row)
    do("tell")
    assert Notice.objects.get().failure == "The mail server refuses the address."
    assert not Job.objects.filter(kind="tell").exists()
    assert SetupLink.objects.count() == 0
    assert "refuses the address" in owner.client.get("/notices/?kind=failed").content.decode()
    assert "refuses the address" in owner.client.get(f"/installations/{row.pk}/").content.decode()


def test_an_address_that_is_refused_for_now_is_tried_again(mails, partner):
    row = customer(partner)
    mails.refused[row.account.email] = "450 greylisted"
    breaks(row)
    do("tell")
    mails.refused.clear()
    do("tell", timedelta(hours=1))
    assert len(mails.mails) == 1


@pytest.mark.parametrize("moment", ["before it was sent", "after it was sent"])
def test_a_worker_that_is_killed_keeps_nobody_from_being_told(mails, partner, monkeypatch, moment):
    row = customer(partner)
    breaks(row)
    name = "send" if moment.startswith("before") else "sent"
    with monkeypatch.context() as patch:
        patch.setattr(sending, name, lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            do("tell")
    Job.objects.filter(kind="tell").update(due_at=clock.now() - timedelta(seconds=1))
    do("tell")
    assert len(mails.mails) == (1 if name == "send" else 2)
    assert Notice.objects.filter(sent_at__isnull=False).count() == 1
    assert Notice.objects.count() == 1
    # For a mail program they are one.
    assert len({mail["Message-ID"] for mail in mails.mails}) == 1
    assert str(Notice.objects.get().pk) in mails.mails[0]["Message-ID"]
    # Whichever of them is opened: it works.
    for mail in mails.mails:
        path = link_in(mail).removeprefix("http://console.test")
        assert Client(HTTP_HOST="console.test").get(path, follow=True).status_code == 200
    assert not Job.objects.filter(kind="tell").exists()


def test_a_mail_of_which_nobody_knows_whether_it_arrived_has_a_link_that_works(mails, partner):
    breaks(customer(partner))
    mails.silent = True
    do("tell")
    mails.silent = False
    assert Notice.objects.get().failure
    Job.objects.filter(kind="tell").update(due_at=clock.now() - timedelta(seconds=1))
    do("tell")
    first, second = mails.mails
    # The second is not shown where the first is.
    assert first["Message-ID"] == second["Message-ID"]
    for mail in (first, second):
        path = link_in(mail).removeprefix("http://console.test")
        assert Client(HTTP_HOST="console.test").get(path, follow=True).status_code == 200


# ── hostile names ───────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "Shop\r\nBcc: thief@evil.example",
    "Shop\nSubject: other\n\nhttp://evil.example/",
    "Shop\u2028Bcc: thief@evil.example\u2029\x85\x0b\x0c\x1c",
    "http://evil.example/s/token/",
    "Log in at evil.example/login now",
    "www.evil.example",
    "thief@evil.example",
    "evil。example and evil．example",
    "\\\\evil.example\\share",
    "HTTPS://EVIL.EXAMPLE",
    "x:\u202e://elpmaxe.live\u202c",
    "{url} {partner.pk} %s {{ url }}",
    "javascript:alert(1) <a href='//evil.example'>x</a>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_changes_a_header_or_puts_another_link_into_the_mail(mails, partner, owner, name):
    Partner.objects.filter(pk=partner.pk).update(name=name[:100])
    row = customer(partner, name[:100], name=name[:100], external_account_name=name[:200])
    breaks(row)
    do("tell")
    do("digest", timedelta(minutes=3))
    to_customer, to_owner = mails.to(row.account.email) + mails.to(owner.user.email)
    expected = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Subject", "From", "To", "Date"}
    expected |= {"Message-ID", "Auto-Submitted"}
    for mail in (to_customer, to_owner):
        assert set(mail.keys()) == expected
        assert len(mail.keys()) == len(expected)
        assert mail["From"] == "Partner Console <console@localhost>"
        assert "\n" not in mail["Subject"]
    assert len(mails.taken) == 2
    assert [to for to, _ in mails.taken] == [[row.account.email], [owner.user.email]]
    assert found_in(to_customer) <= {link_in(to_customer), "northwind.example"}
    for mail in (to_customer, to_owner):
        assert [c for c in body(mail) if category(c)[0] == "C" and c != "\n"] == []
        assert str(partner.pk) not in body(mail)


def test_the_name_of_a_connector_of_the_partner_s_own_carries_no_link(mails, partner, owner):
    manifest, guide = begin_texts("acme")
    manifest = re.sub(
        r'^name = ".*"', 'name = "evil.example or www.evil.example"', manifest, count=1, flags=re.M
    )
    made = drafts.create(owner.principal, "acme", registry.Files(manifest, guide, b""))
    drafts.publish(made, owner.principal, "1.0")
    made.refresh_from_db()
    row = customer(partner)
    change(row, connector=made.slug, release=made.live_id)
    breaks(row)
    do("tell")
    (mail,) = mails.mails
    assert "evil. example" in body(mail)
    assert found_in(mail) <= {link_in(mail), "northwind.example"}


def test_a_partner_may_be_called_by_its_own_domain():
    assert unlinked("Northwind.example", "northwind.example") == "Northwind.example"
    assert unlinked("Northwind.example", "other.example") == "Northwind. example"
    assert unlinked("St. Mary & Co. Ltd.") == "St. Mary & Co. Ltd."


@pytest.mark.parametrize(
    "address",
    [
        "shop",
        "shop@",
        "a@b.example, c@d.example",
        "Shop <a@b.example>",
        "a@b.example\nBcc: c@d.example",
        "a@b.example\r\nx",
        "a@b .example",
        "@b.example",
        "a@b.example\0",
    ],
)
def test_an_address_that_is_none_is_refused_with_a_reason(owner, account, address):
    path = f"/accounts/{account.pk}/edit/"
    answer = owner.client.post(path, {"name": account.name, "email": address})
    assert answer.status_code == 422
    assert "Enter a valid email address" in answer.content.decode() or "Null" in answer.content.decode()
    assert Account.objects.get(pk=account.pk).email == ""


# ── from end to end ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db(transaction=True)
def test_a_withdrawn_grant_reaches_the_customer_and_the_partner_through_the_worker(
    mails, partner, owner, rotating_server, account
):
    Account.objects.filter(pk=account.pk).update(email="shop@customer.example")
    rotating.store_client(partner)
    (row,) = rotating.connected(rotating_server, account, ["g"], ends_in=-5)
    token = row.current_token()
    requests.post(rotating_server.origin + "/revoke", data={"token": token.refresh_token}, timeout=5)
    jobs.schedule("check", row.pk, partner.pk)
    name, url = connection.settings_dict["NAME"], f"sqlite:///{connection.settings_dict['NAME']}"
    if connection.vendor == "postgresql":
        url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}",
        "STAND_IN_ORIGINS": f"https://rotating.test={rotating_server.origin}",
        "CONNECTOR_LIBRARIES": str(ROOT / "tests" / "library"),
    }

    def worker() -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", "worker", "--once"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    log = worker()
    (mail,) = mails.to("shop@customer.example")
    assert "The access was withdrawn at Rotating" in body(mail)
    Job.objects.filter(kind="digest").update(due_at=clock.now() - timedelta(seconds=1))
    log += worker()
    (digest,) = mails.to(owner.user.email)
    assert "Rotating has ended the access: Harbor Street Outfitters." in body(digest)
    answer = Client(HTTP_HOST="console.test").get(
        link_in(mail).removeprefix("http://console.test"), follow=True
    )
    assert "Rotating" in answer.content.decode()
    for secret in (token.access_token, token.refresh_token, link_in(mail).split("/")[-2], "rotating-secret"):
        assert secret not in log
        assert secret not in repr(dump())
