"""The ways to lose a rotated refresh token. Each returns how many of how many were lost.

The provider ends the grant where a refresh token comes twice, so that nothing passes unnoticed.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection

from console import jobs
from console.models import Job
from console.problems import ProblemError
from console.tenancy import Principal
from installations import health, tokens
from installations.models import Credential, CredentialVersion, Installation
from tests.drills import acts, jobs_of_drill
from tests.drills.field import Field, Figure

AT_ONCE = 6


@contextmanager
def refusing_to_write(field: Field) -> Iterator[None]:
    """While this lasts, the database takes no new token of this partner."""
    table, name = CredentialVersion._meta.db_table, "drill_refuses"
    partner = field.partner.pk
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN NEW.partner_id = '{partner.hex}' "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        else:
            cursor.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW "
                f"WHEN (NEW.partner_id = '{partner}') EXECUTE FUNCTION {name}()"
            )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"DROP TRIGGER {name}")
            else:
                cursor.execute(f"DROP TRIGGER {name} ON {table}")
                cursor.execute(f"DROP FUNCTION {name}()")


def database_fails(field: Field, many: int) -> int:
    """1: the database refuses the token that the provider has given."""
    rows = field.connected(many)
    before = field.asked()
    with refusing_to_write(field):
        child = field.child(acts.use, [row.pk for row in rows], AT_ONCE)
        field.wait_until(lambda: field.asked() - before >= min(many, AT_ONCE))
        time.sleep(1)
        assert all(row.current_version().created_at for row in rows)
    child.answer()
    return field.lost(rows)


def killed_after_the_answer(field: Field, many: int) -> int:
    """2: killed between the answer and the commit, and just after it; `many` at each moment."""
    rows = []
    for moment in acts.AFTER_THE_SPOOL:
        made = field.connected(many)
        children = [field.child(acts.die, moment, row.pk) for row in made]
        assert all(child.is_killed() for child in children)
        rows += made
    field.age(61, Credential)
    written = field.child(acts.replay).answer()
    assert written == 2 * many, f"{written} answers were in the spool"
    before = field.asked()
    found = field.child(acts.use, [row.pk for row in rows], AT_ONCE).answer()
    return max(
        field.lost(rows), sum(one[0] != "token" for one in found), field.asked() - before, field.broken()
    )


def check_fails_afterwards(field: Field, many: int) -> int:
    """3: what is looked up with the new token fails, and the token is not thrown away with it."""
    rows = field.connected(many)
    field.server.control(me_answers=[500] * many)
    before = field.asked()
    found = {_check(row) for row in rows}
    assert found == {"provider_unavailable"}, found
    assert {_check(row) for row in rows} == {""}
    return max(field.lost(rows), field.asked() - before - many)


def _check(row: Installation) -> str:
    try:
        health.check(row)
    except ProblemError as problem:
        return problem.code
    return ""


def caller_leaves(field: Field, many: int) -> int:
    """4: the browser that asked is gone before the provider has answered."""
    rows = field.connected(many)
    field.server.control(slow=0.2)
    before = field.asked()
    with field.served() as browser:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda row: browser.press_and_leave(row, random.random() * 0.3), rows))
        field.wait_until(lambda: not _under_way(field) and field.asked() - before >= many * 0.5)
        # Some left before they were heard; the others are done by now.
        field.wait_until(lambda: not _under_way(field))
    renewed = field.asked() - before
    assert renewed > many / 2, f"only {renewed} of {many} were heard"
    return field.lost(rows)


def _under_way(field: Field) -> bool:
    return Credential.objects.filter(partner=field.partner, lease_until__isnull=False).exists()


def others_write(field: Field, many: int) -> int:
    """5: while a token is renewed, others write what they read before."""
    (row,) = field.connected(1)
    stale, stale_credential = Installation.objects.get(pk=row.pk), Credential.objects.get(installation=row)
    field.server.control(slow=1.0)
    child = field.child(acts.use, [row.pk], 1)
    field.wait_until(lambda: field.asked() >= 1)
    refused = 0
    for number in range(many):
        stale.name, stale.description = row.name, f"number {number}"
        stale.save()
        stale.worked(stale_credential.current)
        try:
            stale_credential.save()
        except TypeError:
            refused += 1
        if number == many // 2:
            child.answer()
    assert refused == many
    return field.lost([row])


SHAPES = {"absent": ..., "empty": "", "null": None, "blank": " ", "no text": 7}


def answer_leaves_it_out(field: Field, many: int) -> int:
    """6: an answer without a refresh token leaves the one there is."""
    lost = 0
    for shape in SHAPES.values():
        absent = shape is ...
        answer = {} if absent else {"refresh_token": shape}
        field.server.control(leave_out_refresh_token=False, answer_with={}, rotate=True)
        rows = field.connected(many)
        field.server.control(rotate=False, leave_out_refresh_token=absent, answer_with=answer)
        for _ in range(2):
            for row in rows:
                tokens.usable(row.pk)
            lost += field.lost(rows)
            field.expire(rows)
    return lost


def losers_are_told(field: Field, many: int) -> int:
    """7: several send the same refresh token, as if there were no lease; who loses blames nobody."""
    field.server.control(reuse="refuse")
    rows = field.connected(many, method="single_use")
    at = time.monotonic() + 1
    children = [field.child(acts.race, [row.pk for row in rows], at) for _ in range(4)]
    for child in children:
        child.answer()
    assert field.asked("reused"), "nobody lost a race"
    found = field.child(acts.use, [row.pk for row in rows], AT_ONCE).answer()
    return max(field.lost(rows), field.broken(), sum(one[0] != "token" for one in found))


def job_waits(field: Field, many: int) -> int:
    """8: a job that was put into the queue before the token was rotated holds nothing of it."""
    rows = field.connected(many)
    for row in rows:
        jobs.schedule("renew", row.pk, row.partner_id)
    for _ in range(2):
        for row in rows:
            tokens.usable(row.pk)
        field.expire(rows)
    held = {field.name for field in Job._meta.concrete_fields}
    assert "token" not in held
    before = field.asked()
    field.age(3600, Job)
    field.child(jobs_of_drill.work, field.partner.pk).answer()
    return max(field.lost(rows), abs(field.asked() - before - many))


def test_button(field: Field, many: int) -> int:
    """9: the test of an installation renews its token and keeps it."""
    (row,) = field.connected(1)
    principal = Principal(partner_id=field.partner.pk, actor="drill")
    lost = 0
    for _ in range(many):
        field.expire([row])
        health.test(row, principal, "drill")
        lost += field.lost([row])
    return max(lost, abs(field.asked() - many))


def two_share_a_grant(field: Field, many: int) -> int:
    """10: two installations hold the same grant, as after a copy; neither dies in silence."""
    silent = 0
    firsts = field.connected(many, ends_in=3600)
    for first in firsts:
        (second,) = field.connected(1)
        Installation.objects.filter(pk=second.pk).update(external_account_id=first.external_account_id)
        copy = first.current_version()
        CredentialVersion.objects.filter(installation=second).update(expires_at=copy.created_at)
        version = CredentialVersion.objects.get(installation=second)
        version.token = copy.token
        version.save()
        # The one renews it; the other comes with what is spent by then.
        tokens.usable(second.pk)
        field.expire([first])
        acts.use([first.pk], 1)
    field.child(jobs_of_drill.work, field.partner.pk).answer()
    told = Installation.objects.filter(partner=field.partner, status="needs_attention").count()
    silent = 2 * many - told
    return silent


WAYS = {
    database_fails: (10, 200),
    killed_after_the_answer: (8, 100),
    check_fails_afterwards: (5, 50),
    caller_leaves: (20, 100),
    others_write: (20, 100),
    answer_leaves_it_out: (1, 5),
    losers_are_told: (10, 100),
    job_waits: (5, 50),
    test_button: (10, 50),
    two_share_a_grant: (3, 20),
}


def ten_ways(field: Field) -> Figure:
    """Row 37: all of them, at their default sizes."""
    lost, done = {}, 0
    for way, (many, _) in WAYS.items():
        field.begin_anew()
        lost[way.__name__] = way(field, many)
        done += many
    held = [name for name, count in lost.items() if not count]
    missed = ", ".join(f"{name}: {count}" for name, count in lost.items() if count)
    return Figure(
        "The ten ways to lose a rotated refresh token",
        f"{len(held)} of 10 ways, {sum(lost.values())} lost{missed and ' · ' + missed}",
        "10 of 10, 0 lost",
        len(held) == 10,
    )
