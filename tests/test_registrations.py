"""A partner replaces its client secret or its Client ID, and knows beforehand what that means for whom."""

import re
from datetime import date, timedelta

import pytest
from django.core import mail
from django.utils.html import escape

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.models import Account, Event, Job
from console.problems import ProblemError
from installations import alerts, circuits, clients, connecting, links, tokens
from installations.auth import Token
from installations.models import Alert, Circuit, Credential, CredentialVersion, Installation
from tests import rotating as at_rotating
from tests import test_callback as at_the_door
from tests.rotating import connected, store_client
from tests.stand_ins.rotating import CLIENT

pytestmark = pytest.mark.django_db(transaction=True)
rotating, rotating_process = at_rotating.rotating, at_rotating.rotating_process

SETTINGS = "/connectors/library/rotating-test/settings/"
CONSENTS = "/connectors/library/rotating-test/consents/"
NEW = "new-canary-9c1f"


@pytest.fixture
def rows(rotating, account, northwind) -> list[Installation]:
    """Three whose tokens have run out: whoever uses one renews it."""
    store_client(northwind)
    return connected(rotating, account, ["a", "b", "c"], ends_in=-5)


def save(owner, **entered) -> str:
    fields = {"client_id": CLIENT[0], "client_secret": "", **entered}
    return owner.client.post(SETTINGS, fields, follow=True).content.decode()


def stored() -> ConnectorSettings:
    return ConnectorSettings.objects.get(connector="rotating-test")


def code_of(row: Installation) -> str:
    try:
        tokens.usable(row.pk)
    except ProblemError as error:
        return error.code
    return ""


# ── the secret ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("known", [[CLIENT[1]], [NEW]], ids=["before it is known there", "after"])
def test_a_new_secret_may_be_saved_before_or_after_the_provider_knows_it(known, rows, rotating, owner):
    page = save(owner, client_secret=NEW)
    assert "What was stored before still counts until" in page
    rotating.control(secrets=known)
    assert [code_of(row) for row in rows] == ["", "", ""]
    assert not Alert.objects.exists()
    assert all(rotating.alive(grant) for grant in "abc")


def test_it_counts_for_as_long_as_the_partner_chose(rows, rotating, owner):
    save(owner, client_secret=NEW, overlap_days="1")
    left = stored().previous_until - clock.now()
    assert timedelta(hours=23) < left <= timedelta(days=1)
    ConnectorSettings.objects.update(previous_until=clock.now() - timedelta(seconds=1))
    assert code_of(rows[0]) == "invalid_client"
    assert "still counts until" not in owner.client.get(SETTINGS).content.decode()


@pytest.mark.parametrize("how", ["off from the start", "ended by hand", "removed"])
def test_it_need_not_count_at_all(how, rows, owner):
    save(owner, client_secret=NEW, overlap_days="0" if how == "off from the start" else "7")
    if how == "ended by hand":
        assert CLIENT[1] in repr(stored().previous)
        owner.client.post(f"{SETTINGS}overlap/")
        assert Event.objects.filter(kind="connector_settings.overlap_ended").count() == 1
    if how == "removed":
        owner.client.post(f"{SETTINGS}client_secret/remove/")
    assert (stored().previous, stored().previous_until) == (None, None)
    assert code_of(rows[0]) != ""


def test_a_mistake_that_is_mended_at_once_does_not_cost_the_secret_that_worked(rows, owner):
    save(owner, client_secret="mistyped")
    save(owner, client_secret=NEW)
    assert code_of(rows[0]) == ""


def test_the_secret_before_is_on_no_page(rows, owner):
    assert CLIENT[1] not in save(owner, client_secret=NEW)
    assert NEW not in owner.client.get(SETTINGS).content.decode()


def test_the_day_on_which_it_ends_is_kept_and_forgotten_with_the_secret(rows, owner):
    ends = date.today() + timedelta(days=90)
    save(owner, counts_until=ends.isoformat())
    assert stored().secret_expires_on == ends
    assert f'value="{ends.isoformat()}"' in owner.client.get(SETTINGS).content.decode()
    save(owner, counts_until=ends.isoformat(), client_secret=NEW)
    assert stored().secret_expires_on is None
    save(owner, counts_until=ends.isoformat())
    assert stored().secret_expires_on == ends
    page = save(owner, counts_until=(date.today() - timedelta(days=1)).isoformat())
    assert "This day is past" in page


def test_right_values_close_the_alert_and_renew_what_waited(rows, rotating, northwind, owner):
    save(owner, client_secret="wrong", overlap_days="0")
    assert {code_of(row) for row in rows} == {"invalid_client"}
    assert Alert.objects.filter(closed_at=None).count() == 1
    asked = rotating.asked["token"]
    save(owner, client_secret=CLIENT[1])
    assert not Alert.objects.filter(closed_at=None).exists()
    assert not Circuit.objects.exists()
    work()
    assert rotating.asked["token"] == asked + 3
    assert not Credential.objects.exclude(problem="").exists()
    assert [code_of(row) for row in rows] == ["", "", ""]


def work() -> None:
    """Do what is due, and what that makes due."""
    while True:
        Job.objects.filter(due_at__lte=clock.now() + timedelta(seconds=1)).update(
            due_at=clock.now() - timedelta(seconds=1)
        )
        if not jobs.work():
            return


def test_new_values_are_saved_with_what_follows_or_not_at_all(rows, owner, monkeypatch):
    def killed(*args):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(circuits, "succeeded", killed)
        with pytest.raises(RuntimeError):
            save(owner, client_secret=NEW)
    assert stored().values["client_secret"] == CLIENT[1]
    assert Event.objects.filter(kind="connector_settings.changed").count() == 1, "the one of before"
    save(owner, client_secret=NEW)
    assert Job.objects.filter(kind="settings").exists()


def test_saving_what_is_stored_already_tries_nothing_anew(rows, northwind, owner):
    alerts.raise_alert(northwind.pk, "rotating-test", "invalid_client", "Rotating")
    circuits.failed(northwind.pk, "rotating-test", "invalid_client", at_once=timedelta(minutes=5))
    assert "Nothing was changed" in save(owner)
    assert Alert.objects.filter(closed_at=None).count() == 1


# ── the Client ID ───────────────────────────────────────────────────────────────────────────────


def ask(owner, **entered) -> str:
    """What the page asks before a new Client ID is saved."""
    return save(owner, client_id="another-client", client_secret=NEW, **entered)


def confirm(owner, page: str) -> str:
    sealed = re.search(r'name="confirmed" value="([^"]+)"', page).group(1)
    return owner.client.post(SETTINGS, {"confirmed": sealed}, follow=True).content.decode()


def test_the_page_says_how_many_use_it(rows, owner):
    assert "3 installations" in owner.client.get(SETTINGS).content.decode()


def test_before_a_new_client_id_is_saved_a_page_says_who_must_authorise_again(rows, owner):
    page = ask(owner)
    assert "3 installations must be authorised again" in page
    assert NEW not in page
    assert escape(NEW) not in page
    assert stored().values["client_id"] == CLIENT[0]
    listed = confirm(owner, page)
    assert stored().values == {"client_id": "another-client", "client_secret": NEW}
    assert "To be authorised again" in listed
    assert listed.count("Send setup link") == 3


def test_a_confirmation_belongs_to_its_partner_and_lasts_ten_minutes(rows, owner, stranger, monkeypatch):
    page = ask(owner)
    confirm(stranger, page)
    assert ConnectorSettings.objects.count() == 1
    assert stored().values["client_id"] == CLIENT[0]
    later = clock.now() + timedelta(minutes=11)
    monkeypatch.setattr("installations.registrations.clock.now", lambda: later)
    confirm(owner, page)
    assert stored().values["client_id"] == CLIENT[0]
    page = owner.client.post(SETTINGS, {"confirmed": "bm90aGluZw=="}, follow=True).content.decode()
    assert "Nothing was saved" in page
    assert stored().values["client_id"] == CLIENT[0]


def test_nobody_is_asked_where_nobody_has_to_authorise_again(rotating, account, northwind, owner):
    store_client(northwind)
    ask(owner)
    assert stored().values["client_id"] == "another-client"


def test_they_go_on_with_the_client_before_while_it_counts_and_then_need_consent(rows, rotating, owner):
    confirm(owner, ask(owner))
    before = rotating.asked
    assert code_of(rows[0]) == ""
    # Renewed with its own client, it still belongs to that one.
    assert len(set(CredentialVersion.objects.values_list("client_digest", flat=True))) == 1
    assert clients_left(owner) == 3
    owner.client.post(f"{SETTINGS}overlap/")
    asked = rotating.asked["token"]
    assert code_of(rows[1]) == "client_changed"
    # A refresh token is sent to no other client than its own.
    assert rotating.asked == {**before, "token": asked}
    assert rotating.alive("b")
    rows[1].refresh_from_db()
    assert (rows[1].status, rows[1].problem) == ("needs_attention", "client_changed")


def clients_left(owner) -> int:
    settings = stored()
    manifest = Installation.objects.first().definition.manifest
    return clients.of_an_earlier_one(owner.principal, manifest, settings).count()


def test_the_client_id_of_before_brings_them_back(rows, rotating, owner):
    confirm(owner, ask(owner, overlap_days="0"))
    assert code_of(rows[0]) == "client_changed"
    save(owner, client_secret=CLIENT[1])
    work()
    rows[0].refresh_from_db()
    assert rows[0].status == "connected"
    assert clients_left(owner) == 0
    assert code_of(rows[0]) == ""


def test_whoever_is_let_renew_again_is_renewed_or_waits_as_before(rows, owner, monkeypatch):
    def killed(*args):
        raise RuntimeError

    confirm(owner, ask(owner, overlap_days="0"))
    assert code_of(rows[0]) == "client_changed"
    save(owner, client_secret=CLIENT[1])
    with monkeypatch.context() as patched:
        patched.setattr(clients.jobs, "schedule", killed)
        work()
    assert Credential.objects.get(installation=rows[0]).problem == "client_changed"


def test_one_that_brought_its_own_client_is_no_earlier_one(rows, owner):
    Installation.objects.filter(pk=rows[0].pk).update(stored={"client_id": {"at": "", "by": ""}})
    CredentialVersion.objects.filter(installation=rows[0]).update(client_digest="its own")
    # As connecting writes it.
    Installation.objects.filter(pk=rows[0].pk).update(client_digest="")
    page = ask(owner)
    assert "2 installations must be authorised again" in page
    confirm(owner, page)
    assert clients_left(owner) == 2


def test_all_with_an_address_get_a_link_and_nobody_gets_two(rows, owner, account):
    other = Account.objects.create(partner=account.partner, name="Elsewhere", email="shop@elsewhere.example")
    Installation.objects.filter(pk=rows[0].pk).update(account=other)
    links.send(rows[1], owner.principal, email="last@harbor.example")
    mail.outbox.clear()
    for link in rows[1].setuplink_set.all():
        link.revoke()
    page = confirm(owner, ask(owner))
    assert "Send a link to all with an address" in page
    assert "No address known" in page
    for _ in range(2):
        owner.client.post(CONSENTS)
        work()
    assert sorted(to for message in mail.outbox for to in message.to) == [
        "last@harbor.example",
        "shop@elsewhere.example",
    ]
    sent = Event.objects.filter(kind="setup_link.issued", subject_id=rows[0].pk).get()
    assert sent.actor == owner.user.email
    assert owner.client.get(CONSENTS).content.decode().count("No address known") == 1


def test_a_link_that_a_killed_worker_sent_is_not_sent_again(rows, owner, account):
    Account.objects.filter(pk=account.pk).update(email="shop@harbor.example")
    confirm(owner, ask(owner))
    owner.client.post(CONSENTS)
    links.send(rows[0], owner.principal, email="shop@harbor.example")
    mail.outbox.clear()
    work()
    assert len(mail.outbox) == 2


def test_links_beyond_what_may_be_mailed_in_a_minute_wait_and_are_not_given_up(
    rows, owner, account, monkeypatch
):
    def too_many(name, *, per_minute):
        raise ProblemError("too_many_tries")

    Account.objects.filter(pk=account.pk).update(email="shop@harbor.example")
    confirm(owner, ask(owner))
    owner.client.post(CONSENTS)
    with monkeypatch.context() as patched:
        patched.setattr(links.throttle, "spend", too_many)
        work()
        waiting = Job.objects.filter(kind="send_link")
        waiting.update(attempts=50, due_at=clock.now())
        work()
    assert waiting.filter(failed_at=None, due_at__gt=clock.now()).count() == 3
    waiting.update(due_at=clock.now())
    work()
    assert len(mail.outbox) == 3


def test_one_that_is_switched_off_gets_no_link(rows, owner, account):
    Account.objects.filter(pk=account.pk).update(email="shop@harbor.example")
    confirm(owner, ask(owner))
    owner.client.post(CONSENTS)
    rows[0].set_disabled(True)
    work()
    assert len(mail.outbox) == 2


# ── consent while a secret is replaced ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(("counts", "connects"), [(timedelta(days=1), True), (timedelta(0), False)])
def test_consent_is_not_refused_because_the_provider_does_not_know_the_new_secret_yet(
    counts, connects, heartland, installation, owner
):
    at_the_door.store_client(installation.partner, heartland)
    row = ConnectorSettings.objects.get()
    row.change(owner.principal, {"client_secret": NEW}, client={"client_id", "client_secret"}, overlap=counts)
    assert at_the_door.attempt_of(installation).finish() is connects


# ── permissions ─────────────────────────────────────────────────────────────────────────────────


def test_what_was_not_granted_is_said_until_consent_is_given_for_it(rows, rotating, owner):
    ConnectorSettings.objects.update(scopes="read write")
    page = f"/installations/{rows[0].pk}/"
    for granted, lacking in (("read",), True), (("read", "write"), False):
        answer = owner.client.post(f"{page}reauthorise/")
        assert answer.headers["Location"] == f"{page}setup/"
        setup = Installation.objects.get(pk=rows[0].pk).open_setup()
        manifest = setup.definition.manifest
        issued = rotating.control(issue=["a"])["a"]
        token = Token(issued["access_token"], issued["refresh_token"], granted_scopes=granted)
        connecting.connect(manifest, stored(), setup, token, owner.principal, None)
        shown = owner.client.get(page).content.decode()
        assert ("Permissions update needed" in shown) is lacking
        assert ("<code>write</code>" in shown) is lacking
        assert (f'{page}reauthorise/">Ask for consent again' in shown) is lacking
