"""Support's pages: all can be found and seen, little can be changed, and what is done stands written."""

import re
import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectors.authoring.beginning import begin
from connectors.models import ConnectorSettings, CustomConnector, Publication, Release
from console import clock
from console.models import (
    Account,
    ApiCall,
    ApiKey,
    Event,
    Job,
    KeyCanary,
    Membership,
    Partner,
    Pause,
    User,
)
from console.tenancy import Principal
from installations.models import (
    Alert,
    AuthorizationRequest,
    Circuit,
    Credential,
    CredentialVersion,
    DigestItem,
    HookAddress,
    Installation,
    Notice,
    ReceivedWebhook,
    Revocation,
    Setup,
    SetupLink,
    Status,
    Tally,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from tests.conftest import PASSWORD, open_link, sign_in
from tests.dataset import fill

pytestmark = pytest.mark.django_db

MODELS = [
    model
    for app in ("console", "connectors", "installations")
    for model in apps.get_app_config(app).get_models()
]
LISTED = [*MODELS, LogEntry]
# What staff may add; everything else is written by the product alone.
ADDED_BY_STAFF = {User, Partner, Membership, Account, Pause}
CHANGED_BY_STAFF = {User, Partner, Membership, Account, Installation, ConnectorSettings}
SECRET = "canary-of-a-secret"


def label(model) -> str:
    return model._meta.label


def page(model, what: str = "changelist", *arguments) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=arguments)


def make_rows(count: int, staff_user: User, name: str = "Alder Works") -> None:
    """That many rows of everything."""
    filled = fill(name, accounts=count, installations=count, connectors=["heartland-retail"])
    partner, now = filled.partner, timezone.now()
    principal = Principal(partner_id=partner.pk, actor="somebody@alder.example")
    rows = list(Installation.objects.filter(partner=partner))
    Release.objects.bulk_create(
        Release(digest=uuid.uuid4().hex, connector="acme", version=f"1.{number}", logo=b"")
        for number in range(count)
    )
    texts = begin("acme")
    custom = CustomConnector.objects.bulk_create(
        CustomConnector(partner=partner, slug=f"custom-{number}", manifest=texts[0], guide=texts[1], logo=b"")
        for number in range(count)
    )
    Publication.objects.bulk_create(
        Publication(partner=partner, custom=row, release=release, published_by="somebody@alder.example")
        for row, release in zip(custom, Release.objects.order_by("digest"), strict=False)
    )
    users = User.objects.bulk_create(
        User(email=f"person-{number}@{partner.domain}", password="!") for number in range(count)
    )
    Membership.objects.bulk_create(Membership(user=user, partner=partner) for user in users)
    Partner.objects.bulk_create(
        Partner(name=f"{name} {number}", domain=f"{number}.{partner.domain}") for number in range(count)
    )
    Pause.objects.bulk_create(Pause(reason="Restored from a backup") for _ in range(count))
    KeyCanary.objects.bulk_create(KeyCanary(value="partner-console") for _ in range(count))
    for row in rows:
        version = CredentialVersion.objects.create(
            partner=partner, installation=row, token={"access_token": SECRET}, granted_scopes="item.manage"
        )
        Credential.objects.create(partner=partner, installation=row, current=version)
        setup = Setup(partner=partner, installation=row, auth_method="api_key")
        setup.set_values({"access_token": SECRET}, "somebody@alder.example")
        setup.save()
        link, _ = SetupLink.issue(row, by="somebody@alder.example", email="customer@alder.example")
        AuthorizationRequest.objects.create(
            partner=partner,
            installation=row,
            setup=setup,
            setup_link=link,
            registration_id=row.pk,
            state_digest=row.pk.hex,
            browser_digest=row.pk.hex,
            verifier={"code_verifier": SECRET},
            expires_at=now + timedelta(minutes=10),
        )
        stored = ConnectorSettings(partner=partner, connector=f"connector-{row.pk}")
        stored.set_values({"client_secret": SECRET}, "somebody@alder.example")
        stored.save()
        Revocation.objects.create(
            partner=partner, connector="acme", installation_id=row.pk, grant={"token": SECRET}
        )
        Alert.objects.create(partner=partner, connector=f"connector-{row.pk}", code="invalid_client")
        Circuit.objects.create(partner=partner, connector=f"connector-{row.pk}", since=now)
        Notice.objects.create(partner=partner, kind="digest", subject="One connection needs attention")
        hook = WebhookEndpoint.objects.create(
            partner=partner, url="https://app.alder.example/hook", secret=SECRET, previous_secret=SECRET
        )
        message = WebhookMessage.objects.create(
            partner=partner, type="webhook.test", payload="{}", occurred_at=now
        )
        WebhookDelivery.objects.create(partner=partner, message=message, endpoint=hook, created_at=now)
        DigestItem.objects.create(partner=partner, about=f"attention:{row.pk}")
        HookAddress.issue(row, by="somebody@alder.example", secret=SECRET)
        ReceivedWebhook.objects.create(
            partner=partner, installation=row, received_at=now, size=6, body={"text": SECRET}
        )
        Tally.objects.create(partner=partner, about=f"installation:{row.pk}", day=now.date(), worked=1)
        key = ApiKey(partner=partner, name="Nightly import", scopes=["read"], created_by="somebody")
        key.issue()
        key.save()
        ApiCall.objects.create(
            partner=partner, api_key=key, key_digest="0" * 64, held_until=now, answer={"body": SECRET}
        )
        Job.objects.create(partner=partner, kind="check", subject_id=row.pk, due_at=now)
        Event.objects.record(
            "installation.tested", principal, "The test passed", subject=row, reference="NNNNNNNN"
        )
        LogEntry.objects.create(
            user=staff_user, action_flag=2, object_repr=str(row.pk), change_message="It was disabled."
        )


@pytest.fixture
def support(staff) -> Client:
    return staff


@pytest.fixture
def filled(support) -> None:
    make_rows(3, User.objects.get(is_staff=True))


# ── finding and seeing ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_every_model_can_be_looked_at(model):
    assert admin.site.is_registered(model)


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_every_list_can_be_searched_filtered_and_sorted(support, filled, model):
    answer = support.get(page(model))
    assert answer.status_code == 200
    listed = answer.context["cl"]
    assert listed.result_count >= 3
    paths = ["?q=alder", "?q=nothing-has-this", f"?q={Installation.objects.first().pk}"]
    paths += [f"?o={number}" for number in range(len(listed.list_display))]
    paths += [
        choice["query_string"]
        for spec in listed.filter_specs
        for choice in spec.choices(listed)
        if "query_string" in choice
    ]
    if listed.date_hierarchy:
        today = timezone.now()
        for part, value in (("year", today.year), ("month", today.month), ("day", today.day)):
            paths.append(f"?{listed.date_hierarchy}__{part}={value}")
    for path in paths:
        answer = support.get(page(model) + path)
        # A filter or a column that cannot be used leads back to the plain list with an error flag.
        assert answer.status_code == 200, path
        assert SECRET not in answer.content.decode(), path
    if listed.search_fields:
        assert support.get(page(model) + "?q=nothing-has-this").context["cl"].result_count == 0
    for spec in listed.filter_specs:
        assert len(list(spec.choices(listed))) > 1, spec.title


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_every_row_has_a_page_and_a_history_and_shows_no_secret(support, filled, model):
    for row in model.objects.all()[:3]:
        for what in ("change", "history"):
            answer = support.get(page(model, what, row.pk))
            assert answer.status_code == 200, what
            text = answer.content.decode()
            assert SECRET not in text
            assert "&lt;sealed&gt;" not in text
            assert "Sealed" not in text


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_only_what_staff_keep_can_be_added_or_changed(support, filled, model):
    answer = support.get(page(model, "add"))
    assert answer.status_code == (200 if model in ADDED_BY_STAFF else 403)
    row = model.objects.first()
    text = support.get(page(model, "change", row.pk)).content.decode()
    assert ('name="_save"' in text) == (model in CHANGED_BY_STAFF)
    if model not in CHANGED_BY_STAFF:
        before = model.objects.filter(pk=row.pk).values().get()
        assert support.post(page(model, "change", row.pk), {"text": "x"}).status_code == 403
        if model not in ADDED_BY_STAFF:
            assert support.post(page(model, "add"), {"text": "x"}).status_code == 403
        assert model.objects.filter(pk=row.pk).values().get() == before


def test_the_record_and_the_log_of_staff_cannot_be_deleted(support, filled):
    for model in (Event, LogEntry, KeyCanary):
        row = model.objects.first()
        assert support.get(page(model, "delete", row.pk)).status_code == 403
        assert support.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        answer = support.post(
            page(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        )
        assert answer.status_code in (200, 302)
        assert model.objects.filter(pk=row.pk).exists()


def test_of_an_installation_staff_change_the_name_and_the_description_alone(support, filled):
    row = Installation.objects.filter(status=Status.CONNECTED).first()
    text = support.get(page(Installation, "change", row.pk)).content.decode()
    named = set(re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', text))
    ours = {name for name in named if not name.startswith(("_", "csrf", "setuplink_set-"))}
    assert ours == {"name", "description"}


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_a_list_asks_the_database_no_more_often_for_two_hundred_rows(support, model):
    counts = []
    for rows, name in ((3, "Alder Works"), (197, "Bramble Works")):
        make_rows(rows, User.objects.get(is_staff=True), name)
        support.get(page(model))
        with CaptureQueriesContext(connection) as captured:
            answer = support.get(page(model))
        assert answer.status_code == 200
        counts.append(len(captured))
    assert answer.context["cl"].result_count >= 200
    assert len(answer.context["cl"].result_list) == 100
    assert counts[1] <= 12, [query["sql"] for query in captured.captured_queries]
    assert counts[0] == counts[1], [query["sql"] for query in captured.captured_queries]


# ── doing ───────────────────────────────────────────────────────────────────────────────────────


def act(support: Client, action: str, *rows) -> str:
    """Choose an action for these rows; the text of the page that says what came of it."""
    answer = support.post(
        page(type(rows[0])),
        {"action": action, "_selected_action": [row.pk for row in rows]},
        follow=True,
    )
    assert answer.status_code == 200
    return answer.content.decode()


def logged(row, text: str) -> bool:
    return LogEntry.objects.filter(
        object_id=str(row.pk), content_type__model=row._meta.model_name, change_message__contains=text
    ).exists()


def test_resending_a_link_ends_the_old_one_and_mails_a_new_one(support, installation):
    browser, link, url = open_link(
        installation, email="manager@harbor.example", return_url="https://app.northwind.example/connected"
    )
    assert "A new link went to manager@harbor.example" in act(support, "resend", link)
    link.refresh_from_db()
    assert link.state == "revoked"
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 410
    new = SetupLink.objects.exclude(pk=link.pk).get()
    assert (new.email, new.return_url) == (link.email, link.return_url)
    assert mail.outbox[0].to == ["manager@harbor.example"]
    mailed = re.search(r"http://console.test(/s/[^/]+/)", mail.outbox[0].body).group(1)
    assert mailed != url.removeprefix("http://console.test")
    fresh = Client(HTTP_HOST="console.test")
    assert fresh.get(mailed, follow=True).status_code == 200
    event = Event.objects.get(kind="setup_link.issued", subject_id=installation.pk)
    assert event.actor == "staff@console.example (staff)"
    assert event.partner == installation.partner
    assert logged(link, "Sent again to manager@harbor.example")


def test_a_link_without_an_address_cannot_be_resent_and_goes_on_working(support, installation):
    browser, link, _ = open_link(installation)
    assert "has no e-mail address" in act(support, "resend", link)
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 200
    assert SetupLink.objects.count() == 1
    assert not mail.outbox


def test_a_link_that_led_to_a_connection_is_not_sent_again(support, installation):
    _, link, _ = open_link(installation, email="manager@harbor.example")
    SetupLink.objects.filter(pk=link.pk).update(completed_at=timezone.now())
    assert "the partner can make a new one" in act(support, "resend", link)
    assert SetupLink.objects.get().state == "completed"
    assert not mail.outbox


@pytest.mark.parametrize("why", ["revoked_at", "expires_at"])
def test_a_link_that_ended_can_be_resent_but_is_not_revived(support, installation, why):
    _, link, _ = open_link(installation, email="manager@harbor.example")
    SetupLink.objects.filter(pk=link.pk).update(**{why: timezone.now()})
    act(support, "resend", link)
    link.refresh_from_db()
    assert not link.is_live
    assert SetupLink.objects.exclude(pk=link.pk).get().is_live


def test_a_withdrawn_link_is_closed_at_the_next_request(support, installation):
    browser, link, url = open_link(installation)
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 200
    assert "1 links no longer work" in act(support, "withdraw", link)
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 410
    assert browser.get(url.removeprefix("http://console.test")).status_code == 410
    assert Event.objects.get(kind="setup_link.revoked").actor == "staff@console.example (staff)"
    assert logged(link, "Withdrawn.")


def test_a_revoked_key_opens_nothing_and_stays_where_it_stands(support, filled):
    keys = list(ApiKey.objects.all())
    act(support, "revoke", *keys)
    assert {key.state for key in ApiKey.objects.all()} == {"revoked"}
    assert Event.objects.filter(kind="api_key.revoked", actor__endswith="(staff)").count() == len(keys)
    act(support, "revoke", *keys)
    assert Event.objects.filter(kind="api_key.revoked").count() == len(keys)


def test_an_installation_is_switched_off_and_on_again(support, owner, installation):
    browser, link, _ = open_link(installation)
    act(support, "disable", installation)
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 409
    assert (
        "Switched off by support" in owner.client.get(f"/installations/{installation.pk}/").content.decode()
    )
    act(support, "enable", installation)
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 200
    for what in ("disabled", "enabled"):
        event = Event.objects.get(kind=f"installation.{what}", subject_id=installation.pk)
        assert (event.actor, event.partner) == ("staff@console.example (staff)", installation.partner)
        assert logged(installation, f"It was {what}.")


def test_ended_sessions_lead_to_the_sign_in_at_the_next_request(support, owner, colleague):
    assert owner.client.get("/").status_code == 200
    second = sign_in(owner.user)
    assert "All sessions of 1 users were ended" in act(support, "end_sessions", owner.user)
    for client in (owner.client, second):
        assert client.get("/").headers["Location"] == "/sign-in/?next=/"
    assert colleague.client.get("/").status_code == 200
    assert sign_in(User.objects.get(pk=owner.user.pk)).get("/").status_code == 200
    assert logged(owner.user, "All sessions were ended.")


def test_a_paused_partner_is_out_at_the_next_request_and_back_after_it(
    support, owner, stranger, installation
):
    browser, link, url = open_link(installation)
    act(support, "pause", owner.partner)
    assert owner.client.get("/").status_code == 403
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 410
    assert browser.get(url.removeprefix("http://console.test")).status_code == 410
    assert stranger.client.get("/").status_code == 200
    act(support, "resume", owner.partner)
    assert owner.client.get("/").status_code == 200
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 200
    for what in ("paused", "resumed"):
        event = Event.objects.get(kind=f"partner.{what}")
        assert (event.actor, event.partner) == ("staff@console.example (staff)", owner.partner)
        assert logged(owner.partner, f"Access was {what}.")


@pytest.mark.parametrize("by", ["action", "form"])
def test_a_partner_that_is_back_waits_no_hour_for_its_renewals(by, support, owner, installation):
    partner = owner.partner
    Partner.objects.filter(pk=partner.pk).update(is_active=False)
    hour = clock.now() + timedelta(minutes=59)
    Job.objects.create(kind="renew", subject_id=installation.pk, partner=partner, due_at=hour)
    if by == "action":
        act(support, "resume", partner)
    else:
        fields = {"name": partner.name, "domain": partner.domain, "return_urls": "[]", "is_active": "on"}
        assert support.post(page(Partner, "change", partner.pk), fields).status_code == 302
    assert Job.objects.get().due_at <= clock.now()


def test_staff_add_a_partner_and_its_first_member(support):
    support.post(
        page(Partner, "add"),
        {"name": "Fabrikam", "domain": "fabrikam.example", "return_urls": "[]", "is_active": "on"},
    )
    partner = Partner.objects.get(name="Fabrikam")
    support.post(
        page(User, "add"),
        {
            "email": "Ada@Fabrikam.example",
            "usable_password": "true",
            "password1": PASSWORD,
            "password2": PASSWORD,
            "membership-TOTAL_FORMS": "1",
            "membership-INITIAL_FORMS": "0",
            "membership-0-partner": str(partner.pk),
        },
    )
    assert User.objects.get(email="ada@fabrikam.example").partner() == partner
    client = Client(HTTP_HOST="console.test")
    answer = client.post("/sign-in/", {"username": "ADA@fabrikam.example", "password": PASSWORD})
    assert answer.headers["Location"] == "/"
    assert "Fabrikam" in client.get("/").content.decode()


# ── who gets in ─────────────────────────────────────────────────────────────────────────────────


def staff_pages() -> list[str]:
    pages = [reverse("admin:index"), reverse("admin:jsi18n"), reverse("admin:autocomplete")]
    pages += [reverse("admin:app_list", args=[app]) for app in ("console", "connectors", "installations")]
    pages.append(reverse("admin:password_change"))
    for model in LISTED:
        row = model.objects.first()
        pages += [page(model), page(model, "add")]
        pages += [page(model, what, row.pk) for what in ("change", "history", "delete")]
    return pages


def test_a_partners_admin_and_a_passer_by_get_nothing_at_all(support, filled, owner):
    passer_by = Client(HTTP_HOST="console.test")
    for path in staff_pages():
        for client in (owner.client, passer_by):
            for answer in (client.get(path), client.post(path, {"action": "pause"})):
                assert answer.status_code == 302, path
                assert answer.headers["Location"].startswith("/staff/login/?next="), path
                assert answer.content == b"", path
    way = owner.client.get("/staff/", follow=True)
    assert way.status_code == 403
    assert "These pages are for support" in way.content.decode()
    way = passer_by.get("/staff/", follow=True)
    assert way.redirect_chain[-1][0] == "/sign-in/?next=/staff/"


def test_a_partners_admin_cannot_act_on_staffs_lists(support, owner, installation):
    _, link, _ = open_link(installation)
    for row, action in (
        (owner.partner, "pause"),
        (owner.user, "end_sessions"),
        (installation, "disable"),
        (link, "withdraw"),
    ):
        answer = owner.client.post(page(type(row)), {"action": action, "_selected_action": [row.pk]})
        assert answer.status_code == 302
    assert owner.client.get("/").status_code == 200
    installation.refresh_from_db()
    link.refresh_from_db()
    assert installation.disabled_at is None
    assert link.is_live
    assert not LogEntry.objects.exists()


def test_staff_without_rights_see_an_empty_desk(db):
    helper = sign_in(User.objects.create_user("helper@console.example", PASSWORD, is_staff=True))
    assert "You don’t have permission to view or edit anything" in helper.get("/staff/").content.decode()
    for model in LISTED:
        assert helper.get(page(model)).status_code == 403


def test_the_staff_sign_in_is_the_one_with_the_limit(client):
    answer = client.get("/staff/login/?next=/staff/", headers={"Host": "console.test"})
    assert answer.headers["Location"] == "/sign-in/?next=/staff/"
    assert client.post("/staff/login/", {"username": "a", "password": "b"}).status_code == 302


def test_who_may_change_users_makes_no_superuser_and_becomes_none(client):
    helper = User.objects.create_user("helper@console.example", "pw", is_staff=True)
    rights = Permission.objects.filter(codename__in=["view_user", "change_user"])
    helper.user_permissions.set(rights)
    boss = User.objects.create_superuser("boss@console.example", "pw")
    client.force_login(helper)
    client.post(f"/staff/console/user/{helper.pk}/change/", {"email": helper.email, "is_superuser": "on"})
    helper.refresh_from_db()
    assert not helper.is_superuser
    assert client.get(f"/staff/console/user/{boss.pk}/password/").status_code == 403
    before = boss.session_epoch
    client.post("/staff/console/user/", {"action": "end_sessions", "_selected_action": [boss.pk]})
    boss.refresh_from_db()
    assert boss.session_epoch == before


def test_an_account_stays_with_its_partner(staff, account, contoso):
    url = f"/staff/console/account/{account.pk}/change/"
    staff.post(url, {"name": "Harbor", "external_id": "", "partner": str(contoso.pk)})
    account.refresh_from_db()
    assert (account.name, account.partner.name) == ("Harbor", "Northwind Software")


@pytest.mark.parametrize("query", ["kind__exact=%00", "q=%00"])
def test_a_filter_that_no_database_takes_ends_in_a_page_of_ours(staff, query):
    assert staff.get(f"/staff/console/event/?{query}").status_code == 400
    assert staff.get("/staff/r/1/1/").status_code == 404
