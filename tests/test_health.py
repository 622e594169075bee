"""Whether an installation works is asked on a schedule, seen ahead, and mended by hand where it must be."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module

import pytest
import requests
from django.apps import apps
from django.db import connection

from connectors import registry
from connectors.models import ConnectorSettings
from console import clock, jobs, tidying
from console.models import Event, Job, Pause
from console.problems import ProblemError
from console.templatetags.times import moment
from installations import attention, leases, refused, tokens
from installations.models import Credential, CredentialVersion, Installation, Tally
from tests.rotating import connected, rotating, rotating_process, store_client  # noqa: F401 - fixtures
from tests.stand_ins.rotating import CLIENT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client_stored(rotating, northwind):  # noqa: F811
    return store_client(northwind)


@pytest.fixture
def row(rotating, account, client_stored) -> Installation:  # noqa: F811
    (made,) = connected(rotating, account, ["g"])
    return made


def do(kind: str, subject_id) -> Job | None:
    """Let a worker do this one job now; the row as it is then."""
    Job.objects.exclude(kind=kind, subject_id=subject_id).delete()
    Job.objects.filter(kind=kind, subject_id=subject_id).update(due_at=clock.now() - timedelta(seconds=1))
    jobs.work()
    return Job.objects.filter(kind=kind, subject_id=subject_id).first()


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────


def backing_off(row: Installation, **fields) -> None:
    later = clock.now() + timedelta(minutes=10)
    Credential.objects.filter(installation=row).update(
        **{"retry_at": later, "problem": "provider_unavailable", "attempts": 3, **fields}
    )


def together(number: int, function):
    """What each of so many calls at once ended with: a result, or the code of a problem."""

    def call(_):
        try:
            return function()
        except ProblemError as problem:
            return problem.code
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


def test_a_fresh_token_is_renewed_when_a_person_asks(row, rotating):  # noqa: F811
    before = row.current_version()
    found = tokens.renew_now(row.pk)
    assert found.version.pk != before.pk
    assert rotating.asked["token"] == 1
    assert tokens.usable(row.pk).version == found.version


def test_while_backing_off_fifty_who_ask_make_one_request(row, rotating):  # noqa: F811
    backing_off(row)
    rotating.control(slow=0.3)
    found = together(50, lambda: str(tokens.renew_now(row.pk).version.pk))
    assert rotating.asked["token"] == 1
    assert str(row.current_version().pk) in found
    assert set(found) <= {str(row.current_version().pk), "provider_unavailable"}
    assert rotating.alive("g")


def test_of_all_who_saw_the_same_backing_off_one_may_hurry(row):
    backing_off(row)
    first, second = (tokens.read(row.pk) for _ in range(2))
    assert [first.hurry(), second.hurry()] == [True, False]
    # One who sees that it was hurried has nothing to hurry.
    assert not tokens.read(row.pk).hurry()


def test_an_asking_that_fails_backs_off_anew_and_says_why_though_the_token_lives(row, rotating):  # noqa: F811
    backing_off(row)
    rotating.control(answers=[503])
    with pytest.raises(ProblemError) as caught:
        tokens.renew_now(row.pk)
    assert caught.value.code == "provider_unavailable"
    credential = Credential.objects.get(installation=row)
    assert credential.retry_at > clock.now()
    assert credential.attempts == 4
    assert tokens.usable(row.pk).version == row.current_version()


def test_nothing_is_renewed_by_hand_while_renewals_are_paused(row, rotating):  # noqa: F811
    Pause.objects.create(reason="restored")
    with pytest.raises(ProblemError) as caught:
        tokens.renew_now(row.pk)
    assert caught.value.code == "renewals_paused"
    assert rotating.asked["token"] == 0


def unknown(row: Installation) -> None:
    at = clock.now() - timedelta(minutes=2)
    Credential.objects.filter(installation=row).update(unknown_since=at, lease_until=at)


def test_what_became_of_a_renewal_is_not_tried_by_asking_to_renew(row, rotating):  # noqa: F811
    unknown(row)
    with pytest.raises(ProblemError) as caught:
        tokens.renew_now(row.pk)
    assert caught.value.code == "renewal_unknown"
    assert rotating.asked["token"] == 0


def test_trying_anyway_is_one_persons_decision_on_the_record(owner, row, rotating):  # noqa: F811
    unknown(row)
    page = owner.client.get(f"/installations/{row.pk}/").content.decode()
    assert "Try anyway" in page
    answer = owner.client.post(f"/installations/{row.pk}/try-anyway/", follow=True)
    assert "was renewed" in answer.content.decode()
    assert rotating.asked["token"] == 1
    credential = Credential.objects.get(installation=row)
    assert (credential.unknown_since, credential.lease_until, credential.problem) == (None, None, "")
    [event] = Event.objects.filter(subject_id=row.pk, kind="installation.tried_anyway")
    assert event.actor == owner.user.email
    # Where it is known again, there is nothing to try.
    owner.client.post(f"/installations/{row.pk}/try-anyway/")
    assert rotating.asked["token"] == 1
    assert Event.objects.filter(kind="installation.tried_anyway").count() == 1


def test_trying_anyway_what_was_spent_ends_it_and_says_so(owner, row, rotating):  # noqa: F811
    spent = {"grant_type": "refresh_token", "refresh_token": row.current_token().refresh_token}
    client = dict(zip(("client_id", "client_secret"), CLIENT, strict=True))
    assert requests.post(rotating.origin + "/token", data=spent | client, timeout=5).status_code == 200
    unknown(row)
    page = owner.client.post(f"/installations/{row.pk}/try-anyway/", follow=True).content.decode()
    assert "has ended the access" in page
    row.refresh_from_db()
    assert (row.status, row.problem) == ("needs_attention", "grant_ended")


def test_trying_anyway_during_an_outage_goes_on_by_itself(owner, row, rotating):  # noqa: F811
    unknown(row)
    Job.objects.all().delete()
    rotating.control(answers=[503])
    owner.client.post(f"/installations/{row.pk}/try-anyway/")
    assert rotating.asked["token"] == 1
    Credential.objects.update(retry_at=None)
    CredentialVersion.objects.update(expires_at=clock.now())
    do("renew", row.pk)
    assert rotating.asked["token"] == 2
    assert Credential.objects.get().current.expires_at > clock.now()


@pytest.mark.parametrize("problem", ["invalid_client", "configuration_refused", "redirect_uri_mismatch"])
def test_a_renewal_that_works_ends_what_the_accounts_own_client_was_blamed_for(
    problem,
    row,
    rotating,  # noqa: F811
):
    CredentialVersion.objects.update(expires_at=clock.now())
    Installation.objects.update(status="needs_attention", problem=problem)
    tokens.usable(row.pk)
    row.refresh_from_db()
    assert (row.status, row.problem) == ("connected", "")


def test_renew_now_is_a_button_that_two_clicks_press_once(owner, row, rotating):  # noqa: F811
    page = owner.client.get(f"/installations/{row.pk}/").content.decode()
    assert "Renew now" in page
    first = owner.client.post(f"/installations/{row.pk}/renew/", follow=True).content.decode()
    second = owner.client.post(f"/installations/{row.pk}/renew/", follow=True).content.decode()
    assert "was renewed" in first
    assert "Too many tries" in second
    assert rotating.asked["token"] == 1


def test_since_when_it_cannot_be_renewed_is_noted_at_the_first_failure_and_forgotten_with_success(
    rotating,  # noqa: F811
    account,
    client_stored,
    owner,
):
    (row,) = connected(rotating, account, ["g"], ends_in=30)
    page = f"/installations/{row.pk}/"
    rotating.control(answers=[503, 503])
    tokens.usable(row.pk)
    first = Credential.objects.get().failing_since
    assert abs(clock.now() - first) < timedelta(seconds=5)
    Credential.objects.update(retry_at=None, failing_since=first - timedelta(hours=3))
    tokens.usable(row.pk)
    held = Credential.objects.get()
    assert (held.attempts, held.failing_since) == (2, first - timedelta(hours=3))
    said = f"could not be renewed since {moment(held.failing_since)}"
    assert said in owner.client.get(page).content.decode()
    Credential.objects.update(retry_at=None)
    tokens.usable(row.pk)
    assert Credential.objects.get().failing_since is None
    assert "could not be renewed" not in owner.client.get(page).content.decode()


# ── on a schedule ───────────────────────────────────────────────────────────────────────────────


def test_while_a_partner_is_paused_its_checks_wait_an_hour_and_not_their_turn(row, rotating):  # noqa: F811
    type(row.partner).objects.update(is_active=False)
    jobs.schedule("check", row.pk, row.partner_id)
    left = do("check", row.pk)
    assert timedelta(minutes=59) < left.due_at - clock.now() <= timedelta(hours=1)
    assert rotating.asked["me"] == 0


def test_a_check_is_made_counted_and_made_again(row):
    jobs.schedule("check", row.pk, row.partner_id)
    left = do("check", row.pk)
    row.refresh_from_db()
    assert row.last_worked_at
    assert row.last_checked_at
    # As often as the connector says, spread by a tenth.
    assert registry.get("rotating-test").manifest.check_hours == 6
    assert timedelta(hours=5.3) < left.due_at - clock.now() < timedelta(hours=6.7)
    assert {(tally.about.split(":")[0], tally.worked, tally.failed) for tally in Tally.objects.all()} == {
        ("connector", 1, 0),
        ("account", 1, 0),
        ("installation", 1, 0),
    }


def replace_token(row: Installation, **fields) -> CredentialVersion:
    """Let it hold a token that differs in these fields."""
    token = replace(row.current_token(), **fields)
    version = CredentialVersion.objects.create(
        partner=row.partner,
        installation=row,
        token=token.to_json(),
        granted_scopes=" ".join(token.granted_scopes or ()),
        expires_at=token.expires_at,
    )
    Credential.objects.filter(installation=row).update(current=version)
    return version


def test_a_token_that_ran_out_and_cannot_be_renewed_needs_attention(row):
    replace_token(row, refresh_token="", expires_at=clock.now() - timedelta(seconds=1))
    jobs.schedule("check", row.pk, row.partner_id)
    assert do("check", row.pk)
    row.refresh_from_db()
    assert (row.status, row.problem) == ("needs_attention", "credential_expired")
    assert row.last_checked_at
    assert row.last_worked_at is None


def test_changed_settings_are_held_against_what_was_granted(owner, row):
    replace_token(row, granted_scopes=("read",))
    settings = ConnectorSettings.objects.get(partner=row.partner)
    settings.change(owner.principal, {}, scopes="read new.scope other.scope")
    assert do("scopes", settings.pk) is None
    row.refresh_from_db()
    assert row.missing_scopes == "new.scope other.scope"
    settings.change(owner.principal, {}, scopes="read")
    do("scopes", settings.pk)
    row.refresh_from_db()
    assert row.missing_scopes == ""


def test_where_a_provider_does_not_say_what_it_granted_nothing_is_missing(owner, row):
    assert row.current_token().granted_scopes is None
    settings = ConnectorSettings.objects.get(partner=row.partner)
    settings.change(owner.principal, {}, scopes="read new.scope")
    do("scopes", settings.pk)
    row.refresh_from_db()
    assert row.missing_scopes == ""


def test_installations_from_before_get_their_jobs(row):
    Job.objects.all().delete()
    schedule = import_module("installations.migrations.0009_jobs_for_what_is_connected").schedule
    schedule(apps, None)
    schedule(apps, None)
    found = {job.kind: job for job in Job.objects.all()}
    assert sorted(found) == ["check", "renew", "scopes"]
    assert Job.objects.count() == 3
    now = clock.now()
    assert now <= found["check"].due_at <= now + timedelta(days=1)
    assert found["renew"].due_at < row.current_version().expires_at
    assert {found["check"].subject_id, found["renew"].subject_id} == {row.pk}


def test_old_tallies_are_thrown_away_each_day(northwind):
    today = clock.now().date()
    for days in (0, 89, 90, 91, 400):
        Tally.objects.create(partner=northwind, about="connector:x", day=today - timedelta(days=days))
    tidying.begin()
    left = do(tidying.KIND, tidying.SUBJECT)
    assert sorted((today - tally.day).days for tally in Tally.objects.all()) == [0, 89, 90]
    assert timedelta(hours=23) < left.due_at - clock.now() < timedelta(hours=25)
    # A worker that starts does not move its time.
    tidying.begin()
    assert Job.objects.get(kind=tidying.KIND).due_at == left.due_at


def test_a_chore_that_fails_keeps_none_of_the_others_from_being_done(northwind, monkeypatch):
    done = []

    def fails():
        raise ValueError

    monkeypatch.setattr(tidying, "_CHORES", [fails, lambda: done.append(1)])
    tidying.begin()
    left = do(tidying.KIND, tidying.SUBJECT)
    assert done == [1]
    assert (left.last_error, left.attempts) == ("ValueError", 1)


def test_what_needs_attention_is_noted_together_with_who_is_to_be_told(row, monkeypatch):
    def killed(*args):
        raise RuntimeError

    monkeypatch.setattr(attention.items, "note", killed)
    with pytest.raises(RuntimeError):
        attention.need(row, row.current_version(), "renewal_unknown")
    monkeypatch.undo()
    assert not Event.objects.filter(kind="installation.needs_attention").exists()
    # Otherwise it would be known already, and nobody ever told.
    assert attention.need(Installation.objects.get(pk=row.pk), row.current_version(), "renewal_unknown")
    assert Job.objects.filter(kind="tell", subject_id=row.pk).exists()


@pytest.mark.parametrize("how", ["left behind", "no answer"])
def test_an_outcome_that_nobody_knows_is_noted_together_with_the_telling(
    how,
    rotating,  # noqa: F811
    account,
    client_stored,
    monkeypatch,
):
    def killed(*args, **kwargs):
        raise RuntimeError

    (row,) = connected(rotating, account, ["f"])
    held = leases.take(tokens.read(row.pk), row.definition.manifest.method("strict"))
    if how == "left behind":
        Credential.objects.update(lease_until=clock.now() - timedelta(seconds=1))
        noticed = partial(leases.take, tokens.read(row.pk), held.method)
    else:
        noticed = partial(refused._leave_open, held, "provider_unavailable")
    monkeypatch.setattr(attention, "need", killed)
    with pytest.raises(RuntimeError):
        noticed()
    # Otherwise it would wait for somebody who was never told.
    assert Credential.objects.get().unknown_since is None
