"""What the console says about notices and alerts, and where each kind is switched on and off."""

import pytest
from django.utils import timezone

from console.models import Event, Partner
from installations import alerts
from installations.models import Notice
from installations.notices import items

pytestmark = pytest.mark.django_db


def page(person, path: str) -> str:
    answer = person.client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def notices(owner) -> None:
    rows = [
        ("digest", "Two connections need attention", timezone.now(), ""),
        ("customer", "Your connection needs you", timezone.now(), ""),
        ("customer", "Nobody lives there", None, "The mail server refuses the address."),
        ("digest", "On its way", None, ""),
    ]
    for kind, subject, sent_at, failure in rows:
        Notice.objects.create(
            partner=owner.partner,
            kind=kind,
            to=["one@shop.example", "two@shop.example"],
            subject=subject,
            text="Hello,\n\n<b>this</b> happened.",
            sent_at=sent_at,
            failure=failure,
        )


def test_what_is_being_gathered_is_not_said_to_be_nothing(owner, stranger):
    assert "Nothing had to be told yet" in page(owner, "/notices/")
    items.note(stranger.partner.pk, "installation:x")
    assert "Nothing had to be told yet" in page(owner, "/notices/")
    items.note(owner.partner.pk, "installation:x")
    assert "being gathered" in page(owner, "/notices/")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ["Two connections", "Your connection", "Nobody lives", "On its way"]),
        ("?kind=digest", ["Two connections", "On its way"]),
        ("?kind=customer", ["Your connection", "Nobody lives"]),
        ("?kind=failed", ["Nobody lives"]),
        ("?kind=no-such-kind", ["Two connections", "Your connection", "Nobody lives", "On its way"]),
    ],
)
def test_notices_are_listed_and_filtered(owner, notices, query, shown):
    text = page(owner, f"/notices/{query}")
    every = ["Two connections", "Your connection", "Nobody lives", "On its way"]
    assert [subject for subject in every if subject in text] == shown


def test_a_notice_says_to_whom_and_when_and_what_and_why_not(owner, notices):
    row = Notice.objects.get(subject="Nobody lives there")
    text = page(owner, f"/notices/{row.pk}/")
    assert "one@shop.example, two@shop.example" in text
    assert "The mail server refuses the address." in text
    assert "&lt;b&gt;this&lt;/b&gt; happened." in text


def test_where_nothing_was_sent_the_page_says_when_something_will_be(owner, colleague):
    assert "Nothing had to be told yet" in page(owner, "/notices/")
    assert "No notice of this kind" in page(owner, "/notices/?kind=failed")
    assert "Nothing is wrong" in page(owner, "/alerts/")


def test_an_alert_says_what_is_wrong_how_often_and_where_to_mend_it_and_then_that_it_is_over(owner):
    for _ in range(3):
        alerts.raise_alert(
            owner.partner.pk, "heartland-retail", "invalid_client", "Heartland Retail", "<no such client>"
        )
    text = page(owner, "/alerts/")
    assert "Heartland Retail does not accept the application&#x27;s credentials" in text
    assert "3 times" in text
    assert "&lt;no such client&gt;" in text
    assert 'href="/connectors/library/heartland-retail/settings/"' in text
    alerts.close_alerts(owner.partner.pk, "heartland-retail", "invalid_client")
    text = page(owner, "/alerts/")
    assert "Nothing is wrong" in text
    assert "Heartland Retail does not accept" in text
    assert "Copy the Client ID" not in text
    assert Event.objects.filter(kind="alert.closed").count() == 1


def test_mailing_customers_is_off_until_the_company_switches_it_on(owner):
    def stored() -> bool:
        return Partner.objects.get(pk=owner.partner.pk).tells_customers

    assert not stored()
    form = {"name": owner.partner.name, "return_urls": "", "tells_customers": "on"}
    assert owner.client.post("/company/", form).status_code == 302
    assert stored()
    del form["tells_customers"]
    owner.client.post("/company/", form)
    assert not stored()


def test_an_account_s_contact_e_mail_is_stored_with_it(owner, account):
    owner.client.post(
        f"/accounts/{account.pk}/edit/", {"name": account.name, "email": "shop@customer.example"}
    )
    account.refresh_from_db()
    assert account.email == "shop@customer.example"


def test_one_person_s_setting_is_nobody_else_s(owner, colleague):
    assert "checked" in page(owner, "/e-mail-settings/")
    owner.client.post("/e-mail-settings/", {})
    assert "checked" not in page(owner, "/e-mail-settings/")
    assert "checked" in page(colleague, "/e-mail-settings/")
