"""The start page says what needs attention first; lists are narrowed down, and leave as they are narrowed."""

import csv
import io
import re
from datetime import date, timedelta
from html import unescape

import pytest
from django.utils import timezone

from connectors.models import ConnectorSettings
from console import crypto
from console.models import Account
from installations import listing, standing
from installations.models import Alert, Credential, CredentialVersion, Installation, Status, Tally
from installations.sparkline import Sparkline
from tests.conftest import CLIENT_ID, CLIENT_SECRET

pytestmark = pytest.mark.django_db

SLUG = "heartland-retail"
NOW = timezone.now()


def text_of(answer) -> str:
    """What a person reads, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


@pytest.fixture
def make(account):
    def make(name: str, status: str = Status.CONNECTED, **fields) -> Installation:
        created_at = fields.pop("created_at", None)
        row = Installation.objects.create(
            **{"partner": account.partner, "account": account, "connector": SLUG, **fields},
            name=name,
            status=status,
        )
        if created_at:
            Installation.objects.filter(pk=row.pk).update(created_at=created_at)
        return row

    return make


# ── the start page ──────────────────────────────────────────────────────────────────────────────


def test_where_nothing_needs_anybody_it_says_so(owner, make):
    make("one", grant_expires_at=NOW + timedelta(days=31))
    make("off", Status.ATTENTION, problem="grant_ended", disabled_at=NOW, missing_scopes="a")
    make("gone", Status.DISCONNECTED, grant_expires_at=NOW, missing_scopes="a")
    page = text_of(owner.client.get("/"))
    assert "All is well" in page
    assert "1 of 3 connected" in page


@pytest.mark.parametrize(
    ("fields", "said", "link"),
    [
        (
            {"status": Status.ATTENTION, "problem": "grant_ended"},
            "1 needs attention",
            "state=needs_attention",
        ),
        ({"grant_expires_at": NOW + timedelta(days=29)}, "1 ends soon", "lacks=ends"),
        ({"missing_scopes": "item.read"}, "1 lacks permissions", "lacks=scopes"),
    ],
)
def test_each_trouble_is_counted_by_connector_and_leads_to_its_list(owner, make, fields, said, link):
    make("in trouble", **fields)
    make("well")
    answer = owner.client.get("/")
    assert said in text_of(answer)
    assert "All is well" not in text_of(answer)
    assert f'href="/installations/?{link}&amp;connector={SLUG}"' in answer.content.decode()
    listed = text_of(owner.client.get(f"/installations/?{link}&connector={SLUG}"))
    assert "in trouble" in listed
    assert "· well" not in listed


def test_reasons_are_told_with_how_many_the_commonest_first(owner, make):
    for number in range(3):
        make(f"a{number}", Status.ATTENTION, problem="grant_ended")
    make("b", Status.ATTENTION, problem="credential_rejected")
    page = text_of(owner.client.get("/"))
    assert "3 × Heartland Retail has ended the access 1 × Heartland Retail does not accept this" in page


def test_what_only_the_partner_can_mend_comes_before_all_else(owner, make):
    make("in trouble", Status.ATTENTION, problem="grant_ended")
    Alert.objects.create(partner=owner.partner, connector=SLUG, code="invalid_client", times=7)
    closed = {"connector": "hubspot", "code": "invalid_client", "closed_at": NOW}
    Alert.objects.create(partner=owner.partner, **closed)
    page = text_of(owner.client.get("/"))
    assert page.index("Only you can mend this") < page.index("1 needs attention")
    assert "Heartland Retail does not accept the application's credentials" in page
    assert "HubSpot" not in page


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (-1, "The Client Secret of Heartland Retail has ended"),
        (0, "ends today"),
        (1, "ends tomorrow"),
        (60, "ends in 60 days"),
        (61, None),
    ],
)
def test_a_client_secret_that_ends_is_told_sixty_days_ahead(owner, make, days, said):
    make("one")
    on = timezone.now().date() + timedelta(days=days)
    ConnectorSettings.objects.create(partner=owner.partner, connector=SLUG, secret_expires_on=on)
    page = text_of(owner.client.get("/"))
    assert (said or "All is well") in page
    assert ("All is well" in page) is (said is None)


def test_accounts_stand_there_with_how_much_of_theirs_does_not_work(owner, make, account):
    make("a", Status.ATTENTION, problem="grant_ended")
    make("b", Status.ATTENTION, problem="grant_ended")
    answer = owner.client.get("/")
    assert f'href="/installations/?state=needs_attention&amp;account={account.pk}">2 installations<' in (
        answer.content.decode()
    )


def test_nothing_of_another_partner_is_counted(owner, stranger, make):
    make("one")
    other = Account.objects.create(partner=stranger.partner, name="Zebra")
    fields = {"status": Status.ATTENTION, "problem": "grant_ended", "missing_scopes": "a"}
    Installation.objects.create(partner=stranger.partner, account=other, connector=SLUG, **fields)
    Alert.objects.create(partner=stranger.partner, connector=SLUG, code="invalid_client")
    Tally.objects.create(partner=stranger.partner, about=f"connector:{SLUG}", day=date.today(), failed=9)
    page = text_of(owner.client.get("/"))
    assert "All is well" in page
    assert "9 of 9 failed" not in page
    assert "9 of 9 failed" in text_of(stranger.client.get("/"))


# ── the pictures ────────────────────────────────────────────────────────────────────────────────


def test_a_picture_says_in_words_what_it_shows(owner, make):
    make("one")
    today = timezone.now().date()
    for ago, worked, failed in ((0, 5, 0), (13, 1, 2), (14, 100, 100)):
        day = today - timedelta(days=ago)
        Tally.objects.create(
            partner=owner.partner, about=f"connector:{SLUG}", day=day, worked=worked, failed=failed
        )
    page = owner.client.get("/").content.decode()
    oldest = today - timedelta(days=13)
    assert f"Worked 6 times, failed 2 times: 2 on {oldest.day} {oldest:%b %Y}." in page
    assert f'aria-labelledby="spark-connector-{SLUG}-title spark-connector-{SLUG}-desc"' in page


def test_successes_stand_above_the_line_and_failures_hang_below_it():
    today = date(2026, 11, 25)
    spark = Sparkline("x", {today: (1000, 1), today - timedelta(days=1): (500, 0)}, today)
    assert spark.bars["worked"] == "M96 15h6v-7.5h-6zM104 15h6v-15h-6z"
    # One among a thousand is seen.
    assert spark.bars["failed"] == "M104 17h6v2h-6z"
    assert spark.bars["nothing"].count("M") == 12
    # As many reach as far, up or down.
    alike = Sparkline("x", {today: (7, 7)}, today).bars
    assert (alike["worked"], alike["failed"]) == ("M104 15h6v-15h-6z", "M104 17h6v15h-6z")


def test_a_connector_and_an_account_show_their_own(owner, make, account):
    make("one", Status.ATTENTION, problem="grant_ended")
    today = timezone.now().date()
    Tally.objects.create(partner=owner.partner, about=f"connector:{SLUG}", day=today, worked=3, failed=1)
    Tally.objects.create(partner=owner.partner, about=f"account:{account.pk}", day=today, worked=8)
    page = text_of(owner.client.get(f"/connectors/library/{SLUG}/health/"))
    assert "1 of 4 failed" in page
    assert "1 needs attention Heartland Retail has ended the access" in page
    assert "8 worked" in text_of(owner.client.get(f"/accounts/{account.pk}/"))
    assert "1 needs attention" in text_of(owner.client.get("/accounts/"))


# ── lists ───────────────────────────────────────────────────────────────────────────────────────


def names(owner, query: str) -> list[str]:
    """The names on the list, in its order; the spreadsheet has the same."""
    page = owner.client.get(f"/installations/?{query}").content.decode()
    on_page = re.findall(r"Heartland Retail · (\w+)</a>", page)
    assert [row["Name"] for row in exported(owner, query)] == on_page
    return on_page


def exported(owner, query: str = "") -> list[dict]:
    answer = owner.client.get(f"/installations/export.csv?{query}")
    assert answer.streaming
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer).decode("utf-8")
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def ago(**much) -> dict:
    return {"last_worked_at": NOW - timedelta(**much)}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=connected", ["month", "week", "day", "hour"]),
        ("state=needs_attention", ["broken"]),
        # In one state only.
        ("state=disabled", ["off"]),
        ("worked=never", ["new", "off", "broken"]),
        # The longest silent first.
        ("worked=day", ["month", "week", "day"]),
        ("worked=week", ["month", "week"]),
        ("worked=month&state=connected", ["month"]),
        ("created=day", ["new", "off", "broken"]),
        ("created=week", ["new", "off", "broken", "hour"]),
        ("lacks=ends", ["week", "day"]),
        ("lacks=scopes", ["day"]),
        ("lacks=scopes&state=needs_attention", []),
        ("lacks=scopes&q=da", ["day"]),
        (f"connector={SLUG}&worked=week&q=mon", ["month"]),
        ("connector=hubspot", []),
        ("account=nonsense", []),
        ("account=11111111-2222-3333-4444-555555555555", []),
    ],
)
def test_a_list_is_narrowed_down_and_leaves_as_it_is(owner, make, query, found):
    old = {"created_at": NOW - timedelta(days=90)}
    make("month", **ago(days=40), **old)
    make("week", **ago(days=8), grant_expires_at=NOW + timedelta(days=3), **old)
    ends = NOW + timedelta(days=9)
    make("day", **ago(days=2), missing_scopes="a b", grant_expires_at=ends, **old)
    make("hour", **ago(hours=1), created_at=NOW - timedelta(days=3))
    make("broken", Status.ATTENTION)
    make("off", Status.ATTENTION, disabled_at=NOW, missing_scopes="a", grant_expires_at=NOW)
    make("new", Status.NOT_SET_UP)
    assert sorted(names(owner, query)) == sorted(found)
    if query.startswith(("worked=day", "worked=week", "lacks=ends")):
        assert names(owner, query) == found


def test_an_account_stands_in_the_address_and_can_be_taken_out_of_it(owner, make, account):
    other = Account.objects.create(partner=owner.partner, name="Blue Door")
    make("mine")
    make("other", account=other)
    assert names(owner, f"account={other.pk}") == ["other"]
    page = owner.client.get(f"/installations/?account={other.pk}&state=connected")
    assert "Only Blue Door" in text_of(page)
    assert 'href="?state=connected"' in page.content.decode()


def test_whose_token_belongs_to_an_earlier_client_is_found_and_whose_client_is_its_own_is_not(owner, make):
    settings = ConnectorSettings.objects.for_connector(owner.partner.pk, SLUG)
    settings.change(owner.principal, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    digests = {"now": crypto.digest(CLIENT_ID), "earlier": crypto.digest("earlier"), "unknown": ""}
    digests["own"] = crypto.digest("their own")
    for name, digest in digests.items():
        own = {"client_id": {}, "client_secret": {}} if name == "own" else {}
        named = "" if name == "own" else digest
        row = make(name, auth_method="authorization_code", stored=own, client_digest=named)
        version = CredentialVersion.objects.create(
            partner=owner.partner, installation=row, token={}, client_digest=digest
        )
        Credential.objects.create(partner=owner.partner, installation=row, current=version)
    method = row.definition.manifest.method("authorization_code")
    assert standing.client_digest(method, {"client_id": CLIENT_ID}) == digests["now"]
    assert names(owner, f"lacks=client&connector={SLUG}") == ["earlier"]
    # Without a connector there is no Client ID to ask about.
    assert len(names(owner, "lacks=client")) == 4


# ── the spreadsheet ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "hostile", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "|calc", "＝1", "%0A=1", "\r=1"]
)
def test_no_text_becomes_a_formula(owner, make, account, hostile):
    make("one", external_account_name=hostile, connected_by=hostile)
    Account.objects.filter(pk=account.pk).update(name=hostile)
    (row,) = exported(owner)
    assert row["Account"] == row["Connected to"] == row["Connected by"] == f"'{hostile}"


def test_spreadsheets_are_not_made_without_end(owner, stranger, make):
    make("one")
    answers = [owner.client.get("/installations/export.csv") for _ in range(21)]
    # Ten a minute, and the minute may end in between.
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert "Too many tries" in refused[-1].content.decode()
    assert "Content-Disposition" not in refused[-1]
    assert stranger.client.get("/installations/export.csv").status_code == 200


def test_the_spreadsheet_holds_no_secret_and_no_other_partners_rows(owner, stranger, make):
    row = make("one")
    row.set_values({"access_token": "canary-3f9c"}, "somebody")
    row.save()
    other = Account.objects.create(partner=stranger.partner, name="Zebra")
    Installation.objects.create(partner=stranger.partner, account=other, connector=SLUG)
    text = b"".join(owner.client.get("/installations/export.csv")).decode()
    assert "canary" not in text
    assert "Zebra" not in text
    assert len(text.strip().splitlines()) == 2


def test_the_spreadsheet_ends_at_its_limit(owner, make, monkeypatch):
    monkeypatch.setattr(listing, "EXPORT_LIMIT", 2)
    for number in range(3):
        make(f"n{number}")
    assert [row["Name"] for row in exported(owner)] == ["n2", "n1"]
    page = owner.client.get("/installations/").content.decode()
    assert "The first 2 of them" in page
