"""What a provider gives only once is not lost: the ten ways to lose it, and what is done where it is gone."""

import os
import time

import pytest

from console import tidying
from console.models import Pause
from console.problems import ProblemError
from installations import spool, tokens
from installations.models import Credential, Installation
from tests.drills import acts, losing
from tests.drills.field import Field
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def lost(way, field) -> int:
    return way(field, full(*losing.WAYS[way]))


def test_a_database_that_refuses_the_new_token_is_asked_again(field):
    assert lost(losing.database_fails, field) == 0


def test_a_process_that_is_killed_after_the_answer_came_loses_nothing(field):
    assert lost(losing.killed_after_the_answer, field) == 0


def test_whoever_comes_next_uses_an_answer_that_lies_in_the_spool(field):
    (row,) = field.connected(1)
    assert field.child(acts.die, "with the answer on disk", row.pk).is_killed()
    field.age(61, Credential)
    assert tokens.usable(row.pk).token == row.current_token()
    assert (field.asked(), field.lost([row])) == (1, 0)


def test_a_disk_that_takes_nothing_does_not_cost_the_token(field, monkeypatch):
    def full_disk(answer):
        raise OSError("No space left on device")

    monkeypatch.setattr(spool, "keep", full_disk)
    (row,) = field.connected(1)
    assert tokens.usable(row.pk).token == row.current_token()
    assert (field.asked(), field.lost([row])) == (1, 0)


def test_a_check_that_fails_afterwards_does_not_cost_the_token(field):
    assert lost(losing.check_fails_afterwards, field) == 0


def test_a_browser_that_leaves_does_not_cost_the_token(field):
    assert lost(losing.caller_leaves, field) == 0


def test_what_others_write_meanwhile_does_not_overwrite_the_token(field):
    assert lost(losing.others_write, field) == 0


def test_an_answer_without_a_refresh_token_leaves_the_one_there_is(field):
    assert lost(losing.answer_leaves_it_out, field) == 0


def test_who_loses_a_race_does_not_blame_the_winner(field):
    assert lost(losing.losers_are_told, field) == 0


def test_a_job_that_waited_during_a_renewal_uses_the_new_token(field):
    assert lost(losing.job_waits, field) == 0


def test_testing_an_installation_keeps_what_it_renewed(field):
    assert lost(losing.test_button, field) == 0


def test_two_installations_of_one_grant_do_not_die_in_silence(field):
    assert lost(losing.two_share_a_grant, field) == 0


def test_a_restored_copy_renews_nothing(field):
    (row,) = field.connected(1)
    Pause.objects.create(reason="restored")
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.code == "renewals_paused"
    assert field.asked() == 0


def test_what_was_left_half_written_is_removed_after_a_day(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    spool.forget_unfinished()
    settings.SPOOL_DIR.mkdir()
    for name, hours in (("old.part", 25), ("new.part", 23), ("whole", 25)):
        path = settings.SPOOL_DIR / name
        path.write_bytes(b"half")
        os.utime(path, times=(time.time() - hours * 3600,) * 2)
    assert spool.forget_unfinished in tidying._CHORES
    spool.forget_unfinished()
    assert sorted(path.name for path in settings.SPOOL_DIR.iterdir()) == ["new.part", "whole"]


# ── the answer never came ───────────────────────────────────────────────────────────────────────

NEVER_CAME = [moment for moment in acts.MOMENTS if moment not in acts.AFTER_THE_SPOOL]


def killed(field: Field, method: str, *, ends_in: float) -> list[Installation]:
    """Installations whose renewal was killed before the answer was on disk, half of them after it came."""
    rows = field.connected(2 * full(4, 50), method=method, ends_in=ends_in)
    children = [field.child(acts.die, NEVER_CAME[number % 2], row.pk) for number, row in enumerate(rows)]
    assert all(child.is_killed() for child in children)
    return rows


def after_the_lease(field: Field, rows: list[Installation]) -> list[tuple[str, str]]:
    """What callers get once the lease of those that were killed has run out."""
    field.age(61, Credential)
    return field.child(acts.use, [row.pk for row in rows], 6).answer()


@pytest.mark.parametrize("method", ["plain", "grace"])
def test_where_a_refresh_token_may_come_twice_everything_mends_itself(field, method):
    field.server.control(reuse="grace")
    rows = killed(field, method, ends_in=-5)
    found = after_the_lease(field, rows)
    assert {kind for kind, _ in found} == {"token"}
    assert (field.lost(rows), field.broken()) == (0, 0)


def test_where_it_counts_once_the_old_token_is_used_while_it_lives_and_a_person_told_at_once(field):
    field.server.control(reuse="refuse")
    rows = killed(field, "single_use", ends_in=30)
    old = {row.current_token().access_token for row in rows}
    found = after_the_lease(field, rows)
    # Of half of them the provider has not heard: these are renewed.
    lost = [row for row in rows if Credential.objects.get(installation=row).problem == "renewal_lost"]
    assert len(lost) == len(rows) / 2
    assert {kind for kind, _ in found} == {"token"}
    assert sum(token in old for _, token in found) == len(lost)
    noted = Installation.objects.filter(status="needs_attention", problem="renewal_lost")
    assert set(noted) == set(lost)
    field.expire(lost)
    found = field.child(acts.use, [row.pk for row in lost], 6).answer()
    assert set(found) == {("problem", "renewal_lost")}


def test_where_it_would_end_the_grant_nobody_sends_it_again_and_a_person_is_told_at_once(field):
    rows = killed(field, "strict", ends_in=30)
    old = {row.current_token().access_token for row in rows}
    before = field.asked()
    found = after_the_lease(field, rows)
    assert {token for _, token in found} == old, "it is used while it lives"
    assert Installation.objects.filter(status="needs_attention", problem="renewal_unknown").count() == len(
        rows
    )
    field.expire(rows)
    found = field.child(acts.use, [row.pk for row in rows], 6).answer()
    assert set(found) == {("problem", "renewal_unknown")}
    assert (field.asked(), field.asked("reused")) == (before, 0)


def test_a_person_may_let_it_be_sent_again(field):
    (row,) = field.connected(1)
    child = field.child(acts.die, "with the lease", row.pk)
    assert child.is_killed()
    assert set(after_the_lease(field, [row])) == {("problem", "renewal_unknown")}
    credential = Credential.objects.get(installation=row)
    assert credential.try_anyway()
    assert tokens.usable(row.pk, rejected=credential.current_id).token == row.current_token()
    row.refresh_from_db()
    assert (row.status, row.problem) == ("connected", "")
    assert not field.lost([row])


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("strict", "renewal_unknown"),
        ("single_use", "provider_unavailable"),
        ("plain", "provider_unavailable"),
    ],
)
def test_a_request_that_was_never_answered_is_no_outage_like_another(field, monkeypatch, method, told):
    monkeypatch.setattr("console.http.DEADLINE_SECONDS", 0.5)
    field.server.control(slow=1.5)
    (row,) = field.connected(1, method=method)
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.code == told
    credential = Credential.objects.get(installation=row)
    assert (credential.lease_until is None) == (method == "plain")
    assert (credential.unknown_since is not None) == (method == "strict")
    row.refresh_from_db()
    assert row.problem == ("renewal_unknown" if method == "strict" else "")


def test_a_provider_that_was_not_reached_is_asked_again(field, settings):
    (row,) = field.connected(1)
    reachable = settings.STAND_IN_ORIGINS
    settings.STAND_IN_ORIGINS = {"https://rotating.test": "http://127.0.0.1:9"}
    with pytest.raises(ProblemError) as caught:
        tokens.usable(row.pk)
    assert caught.value.code == "provider_unavailable"
    settings.STAND_IN_ORIGINS = reachable
    field.age(61, Credential)
    assert tokens.usable(row.pk).token == row.current_token()
    assert field.broken() == 0
