"""Many rows and many connectors, made quickly and always alike: for the bench and for counting queries."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, product
from pathlib import Path
from typing import get_args
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from connectors import registry, releases
from connectors.manifest.vocabulary import Category
from console.models import Account, Event, Membership, Partner, User
from console.sealed import Sealed
from installations.models import Alert, Credential, CredentialVersion, Installation, SetupLink, Status, Tally

TEMPLATE = "heartland-retail"
BATCH = 2_000
EVENTFUL = 5_000
# How many of a hundred installations are in each state.
STATES = {
    Status.CONNECTED: 80,
    Status.ATTENTION: 4,
    Status.WAITING: 4,
    Status.NOT_SET_UP: 8,
    Status.DISCONNECTED: 4,
}

_FIRST = ["Amber", "Birch", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Heron", "Indigo", "Juniper"]
_SECOND = ["Anchor", "Bakery", "Canvas", "Depot", "Engine", "Florist", "Garden", "Harvest", "Inn", "Jewel"]
_THIRD = ["North", "South", "East", "West", "Central", "Upper", "Lower", "Old", "New", "Great"]
_KINDS = ["Payroll", "Bookings", "Ledger", "Parcels", "Support Desk", "Loyalty", "Payments", "Stock"]


def _names() -> Iterator[str]:
    """A thousand combinations, then the same ones with a number."""
    for number in range(1, 10_000):
        for third, first, second in product(_THIRD, _FIRST, _SECOND):
            yield f"{third} {first} {second}{'' if number == 1 else f' {number}'}"


_CATEGORIES = get_args(Category)


def make_library(folder: Path, connectors: int = 1_000) -> list[str]:
    """Folders of that many invented connectors, all of the template's kind; their slugs."""
    source = settings.BASE_DIR / "connectors" / "library" / TEMPLATE
    manifest = (source / "manifest.toml").read_text(encoding="utf-8")
    name, aliases, categories = (
        next(line for line in manifest.splitlines() if line.startswith(f"{key} = "))
        for key in ("name", "aliases", "categories")
    )
    slugs = []
    for number, words in enumerate(islice(_names(), connectors)):
        kind = _KINDS[number % len(_KINDS)]
        slug = f"{words} {kind}".lower().replace(" ", "-")
        target = folder / slug
        target.mkdir(parents=True)
        text = (
            manifest.replace(name, f'name = "{words} {kind}"')
            .replace(aliases, f'aliases = ["{words.split()[1]}{number}"]')
            .replace(categories, f'categories = ["{_CATEGORIES[number % len(_CATEGORIES)]}"]')
        )
        (target / "manifest.toml").write_text(text, encoding="utf-8")
        for file in ("guide.md", "logo.svg"):
            shutil.copyfile(source / file, target / file)
        slugs.append(slug)
    return slugs


@dataclass(frozen=True)
class Filled:
    """A partner with rows, and one member."""

    partner: Partner
    member: User
    account_id: UUID
    installation_id: UUID


def fill(
    name: str, *, accounts: int, installations: int, connectors: list[str], seed: int = 1, links: int = 0
) -> Filled:
    """A partner with that many accounts and installations in mixed states; some have been heard of lately.

    Of the same arguments come the same rows, but for ids and times.
    """
    chance = random.Random(seed)
    domain = f"{name.lower().replace(' ', '-')}.example"
    partner = Partner.objects.create(name=name, domain=domain)
    releases.keep(registry.get(TEMPLATE))
    member = User.objects.create_user(f"member@{domain}", None)
    Membership.objects.create(user=member, partner=partner)
    customers = Account.objects.bulk_create(
        (
            Account(partner=partner, name=words, external_id=f"cust-{number}")
            for number, words in enumerate(islice(_names(), accounts))
        ),
        batch_size=BATCH,
    )
    now = timezone.now()
    states = chance.choices(list(STATES), weights=list(STATES.values()), k=installations)
    rows = [
        _installation(chance, partner, customers[number % accounts], state, connectors, number, now)
        for number, state in enumerate(states)
    ]
    Installation.objects.bulk_create(rows, batch_size=BATCH)
    Event.objects.bulk_create(
        (
            Event(
                partner=partner, kind="installation.tested", actor=member.email, text=text, subject_id=row.pk
            )
            for row in rows[:EVENTFUL]
            for text in ("It was installed", "The test passed")
        ),
        batch_size=BATCH,
    )
    if rows and links:
        SetupLink.objects.bulk_create(
            SetupLink(
                partner=partner,
                installation=rows[0],
                token_digest=f"{partner.pk.hex}{number:032x}",
                created_by=member.email,
                expires_at=now + timedelta(days=number % 14 - 6),
            )
            for number in range(links)
        )
    return Filled(partner, member, customers[0].pk, rows[0].pk if rows else None)


def live_in(made: Filled, connectors: list[str], seed: int = 1) -> None:
    """Let what was made have been in use for two weeks: credentials, successes and failures, alerts."""
    partner, chance = made.partner, random.Random(seed)
    _hold(partner, list(Installation.objects.filter(partner=partner).defer("values")))
    _count(chance, partner, connectors, made.installation_id)
    Alert.objects.bulk_create(
        Alert(partner=partner, connector=slug, code="invalid_client", times=40) for slug in connectors[:2]
    )


def _hold(partner: Partner, rows: list[Installation]) -> None:
    """A credential for each that is connected; every tenth one's belongs to an earlier client."""
    versions = [
        CredentialVersion(
            partner=partner,
            installation=row,
            token=Sealed(b"sealed" * 40),
            client_digest=f"client-{number % 10 == 0}",
        )
        for number, row in enumerate(rows)
        if row.auth_method
    ]
    CredentialVersion.objects.bulk_create(versions, batch_size=BATCH)
    Credential.objects.bulk_create(
        (Credential(partner=partner, installation_id=it.installation_id, current=it) for it in versions),
        batch_size=BATCH,
    )


def _count(chance: random.Random, partner: Partner, connectors: list[str], installation_id: UUID) -> None:
    """Two weeks of successes and failures."""
    accounts = Account.objects.filter(partner=partner).values_list("pk", flat=True)
    abouts = [f"connector:{slug}" for slug in connectors] + [f"account:{pk}" for pk in accounts]
    abouts.append(f"installation:{installation_id}")
    today = timezone.now().date()
    Tally.objects.bulk_create(
        (
            Tally(
                partner=partner,
                about=about,
                day=today - timedelta(days=days),
                worked=chance.randrange(200),
                failed=max(0, chance.randrange(40) - 30),
            )
            for about in abouts
            for days in range(14)
        ),
        batch_size=BATCH,
    )


def _installation(
    chance: random.Random,
    partner: Partner,
    account: Account,
    state: Status,
    connectors: list[str],
    number: int,
    now: datetime,
) -> Installation:
    used = state in (Status.CONNECTED, Status.ATTENTION)
    row = Installation(
        partner=partner,
        account=account,
        connector=connectors[number % len(connectors)],
        name=f"Store {number % 997}" if number % 3 == 0 else "",
        description="Set up for the shop floor and the back office.",
        status=state,
        problem="credential_rejected" if state == Status.ATTENTION else "",
        disabled_at=now if number % 500 == 0 else None,
        stored={"subdomain": {"at": "2026-11-23T10:00:00+00:00", "by": "somebody@example.com"}},
    )
    if used:
        # As wide as a sealed value is; a list never opens one.
        row.values = Sealed(chance.randbytes(120))
        row.auth_method = "api_key"
        row.discovered = {"host": f"store-{number}.retail.heartland.us"}
        row.external_account_id = f"store-{number}.retail.heartland.us"
        row.external_account_name = f"{account.name} no. {number}"
        row.connected_by = "somebody@example.com"
        if number % 20 == 0:
            row.grant_expires_at = now + timedelta(days=number % 400)
        if number % 50 == 0:
            row.missing_scopes = "item.read item.write"
        row.connected_at = row.last_worked_at = now - timedelta(minutes=chance.randrange(100_000))
    return row


def multiply(base: Installation, size: int) -> None:
    """Copies of one connected installation until there are that many, made by the database itself.

    Their tokens are the copied bytes, which open in no other row: nobody may ask for them.
    """
    missing = size - Installation.objects.count()
    if missing <= 0:
        return
    lite = connection.vendor == "sqlite"
    number = "value" if lite else "i"
    new_id = "lower(hex(randomblob(16)))" if lite else "gen_random_uuid()"
    series = (
        "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < %s) "
        "SELECT value FROM n)"
        if lite
        else "(SELECT generate_series(1, %s) AS i)"
    )
    key = base.pk.hex if lite else base.pk
    installations = Installation._meta.db_table
    with connection.cursor() as cursor:
        names = _columns(Installation)
        cursor.execute(
            f"INSERT INTO {installations} (id, {_list(names)}) "
            f"SELECT {new_id}, {_list(names, 'base.')} FROM {series} series, {installations} base "
            f"WHERE base.id = %s AND series.{number} > 0",
            [missing, key],
        )
        for model, own in (
            (CredentialVersion, ["installation_id"]),
            (Credential, ["installation_id", "current_id"]),
        ):
            table, names = model._meta.db_table, _columns(model, *own)
            # Each has the id of its installation: they are of different tables.
            cursor.execute(
                f"INSERT INTO {table} (id, {_list(own)}, {_list(names)}) "
                f"SELECT {', '.join(['new.id'] * (1 + len(own)))}, {_list(names, 'base.')} "
                f"FROM {installations} new, {table} base WHERE base.installation_id = %s "
                f"AND NOT EXISTS (SELECT 1 FROM {table} there WHERE there.installation_id = new.id)",
                [key],
            )
        cursor.execute("ANALYZE")


def _columns(model, *others: str) -> list[str]:
    return [field.column for field in model._meta.concrete_fields if field.column not in ("id", *others)]


def _list(names: list[str], of: str = "") -> str:
    return ", ".join(f'{of}"{name}"' for name in names)
