"""`python -m tests.drills.elsewhere fill N | use SECONDS | read`: the product on the database of a drill.

Prints what came of it as JSON.
"""

import json
import os
import random
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")


def fill(many: int) -> dict:
    from django.conf import settings

    from console.models import Account, Partner
    from tests.rotating import Rotating, connected, store_client

    partner = Partner.objects.create(name="Drill", domain="drill.example")
    account = Account.objects.create(partner=partner, name="Drill")
    store_client(partner)
    (origin,) = settings.STAND_IN_ORIGINS.values()
    grants = [f"e{os.getpid()}-{number}" for number in range(many)]
    connected(Rotating(origin), account, grants)
    return {"good": many}


def use(seconds: float) -> dict:
    """Use tokens, one after the other, a quarter of which have just run out."""
    from datetime import timedelta

    from django.db.models import F

    from console.problems import ProblemError
    from installations import tokens
    from installations.models import CredentialVersion, Installation

    ids = list(Installation.objects.values_list("pk", flat=True))
    found = {"good": 0, "bad": 0, "renewed": 0}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        chosen = random.choice(ids)
        versions = CredentialVersion.objects.filter(installation_id=chosen)
        before = versions.values_list("pk", flat=True)[0]
        if random.random() < 0.25:
            versions.update(expires_at=F("created_at"), created_at=F("created_at") - timedelta(hours=1))
        try:
            found["renewed"] += tokens.usable(chosen).version.pk != before
            found["good"] += 1
        except ProblemError:
            found["bad"] += 1
    return found


def read() -> dict:
    from console.crypto import CannotOpen
    from installations.models import CredentialVersion

    found = {"good": 0, "bad": 0}
    for version in CredentialVersion.objects.all():
        try:
            found["good" if version.token["refresh_token"] else "bad"] += 1
        except CannotOpen:
            found["bad"] += 1
    return found


def main(act: str, *values: str) -> int:
    import django

    django.setup()
    print(json.dumps({"fill": fill, "use": use, "read": read}[act](*map(int, values))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
