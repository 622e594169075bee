"""What a digest tells: of all that was noted what is still so, with one cause in one line."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from urllib.parse import urlsplit

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlencode

from connectors import catalogue
from connectors.models import ConnectorSettings
from console import clock
from console.models import Partner
from console.problems import PROBLEMS
from installations.alerts import mended_by
from installations.models import Alert, Installation, Status, WebhookEndpoint
from installations.notices.items import chunks
from installations.notices.mailing import one_line
from installations.webhooks.types import REASONS

# So many causes, so many names in each.
LINES, NAMES = 20, 3


@dataclass
class Line:
    """One cause, and everybody who feels it."""

    connector: str
    installations: list = field(default_factory=list)
    accounts: dict = field(default_factory=dict)
    day: date | None = None
    # In words, once the names of connectors are known.
    connector_name: str = ""
    title: str = ""
    what: str = ""
    url: str = ""

    def add(self, installation_id, account_id, account: str) -> None:
        self.installations.append(installation_id)
        self.accounts[account_id] = one_line(account)

    @property
    def count(self) -> int:
        return len(self.installations)

    @property
    def who(self) -> str:
        """Harbor Street Outfitters, Pine & Co, Quagga and 497 more"""
        rest = len(self.accounts) - NAMES
        return ", ".join(islice(self.accounts.values(), NAMES)) + (f" and {rest} more" if rest > 0 else "")


def _page(name: str, *args, **query: str) -> str:
    return settings.BASE_URL + reverse(name, args=args) + (f"?{urlencode(query)}" if query else "")


def _these(line: Line, **query: str) -> str:
    if line.count == 1:
        return _page("installation", line.installations[0])
    return _page("installations", **query, connector=line.connector)


class Matters:
    """The parts of a digest; false where nothing of what was noted is so any more."""

    def __init__(self, partner: Partner, abouts: Iterable[str]):
        self.partner = partner
        self.at = clock.now()
        noted: dict[str, list[list[str]]] = defaultdict(list)
        for about in abouts:
            kind, *rest = about.split(":")
            noted[kind].append(rest)
        self.alerts = self._alerts(noted["alert"])
        self.attention = self._attention(noted["attention"])
        self.grants = self._grants(noted["grant"])
        self.secrets = self._secrets(noted["secret"])
        self.webhooks = self._webhooks(noted["webhook"])
        self._name()

    def __bool__(self) -> bool:
        return bool(self.alerts or self.attention or self.grants or self.secrets or self.webhooks)

    def _alerts(self, noted) -> list[tuple[str, Line]]:
        rows = Alert.objects.filter(partner=self.partner, closed_at=None, pk__in=[pk for (pk,) in noted])
        return [(row.code, Line(row.connector)) for row in rows]

    def _installations(self, ids, **so):
        """Those of which it is still so, with the names of their accounts."""
        mine = Installation.objects.filter(partner=self.partner, disabled_at=None, is_tryout=False, **so)
        for some in chunks(ids):
            yield from mine.filter(pk__in=some).values_list(
                "pk", "connector", "problem", "grant_expires_at", "account_id", "account__name"
            )

    def _attention(self, noted) -> list[tuple[str, Line]]:
        lines: dict[tuple[str, str], Line] = {}
        for pk, connector, problem, _, *account in self._installations(
            (pk for (pk,) in noted), status=Status.ATTENTION
        ):
            lines.setdefault((problem, connector), Line(connector)).add(pk, *account)
        found = [(problem, line) for (problem, _), line in lines.items()]
        return sorted(found, key=lambda entry: -entry[1].count)

    def _grants(self, noted) -> list[Line]:
        days = {pk: day for pk, day, _ in noted}
        lines: dict[str, Line] = {}
        for pk, connector, _, end, *account in self._installations(days, status=Status.CONNECTED):
            if end and end > self.at and _day(end) == days[str(pk)]:
                line = lines.setdefault(connector, Line(connector))
                line.add(pk, *account)
                line.day = min(filter(None, (line.day, end.date())))
        return sorted(lines.values(), key=lambda line: line.day)

    def _secrets(self, noted) -> list[Line]:
        days = {slug: day for slug, day, _ in noted}
        rows = ConnectorSettings.objects.filter(partner=self.partner, connector__in=days)
        found = [
            Line(row.connector, day=row.secret_expires_on)
            for row in rows
            if row.secret_expires_on and row.secret_expires_on.isoformat() == days[row.connector]
        ]
        return sorted(found, key=lambda line: line.day)

    def _webhooks(self, noted) -> list[tuple[str, str, str]]:
        """Endpoints that were given up: the address, why, and the page."""
        rows = WebhookEndpoint.objects.filter(partner=self.partner, pk__in=[pk for (pk,) in noted])
        rows = rows.exclude(disabled_at=None).values_list("pk", "url", "disabled_reason")
        # Its host alone: the rest of an address may be what lets somebody in.
        return [(urlsplit(url).netloc, REASONS[why], _page("webhook", pk)) for pk, url, why in rows]

    def _name(self) -> None:
        lines = [line for _, line in self.alerts + self.attention] + self.grants + self.secrets
        names = catalogue.names(self.partner.pk, sorted({line.connector for line in lines}))
        for line in lines:
            line.connector_name = one_line(names[line.connector])
        for code, line in self.alerts:
            line.title = self._words(PROBLEMS[code].title, line)
            line.what = mended_by(code, line.connector_name)
        for problem, line in self.attention:
            line.title = self._words(PROBLEMS[problem].title, line)
            line.url = _these(line, state=Status.ATTENTION)
        for line in self.grants:
            line.url = _these(line)
        for line in [line for _, line in self.alerts] + self.secrets:
            line.url = _page("connector-settings", line.connector)

    def _words(self, template: str, line: Line) -> str:
        return template.format(connector=line.connector_name, partner=one_line(self.partner.name))

    def headline(self) -> str:
        """The subject: what is worst, and whether there is more."""
        count = sum(line.count for _, line in self.attention)
        ending = sum(line.count for line in self.grants) + len(self.secrets)
        told = []
        if len(self.alerts) == 1:
            told.append(self.alerts[0][1].title)
        elif self.alerts:
            told.append(f"{len(self.alerts)} connectors need you")
        if count:
            told.append(
                "One connection needs attention" if count == 1 else f"{count} connections need attention"
            )
        if self.webhooks:
            told.append("A webhook endpoint was switched off")
        if ending:
            told.append("Something ends soon" if ending == 1 else f"{ending} things end soon")
        return (told[0] + (", and more" if len(told) > 1 else ""))[:200]

    def text(self) -> str:
        told = render_to_string(
            "installations/notices/digest.txt",
            {
                "partner": one_line(self.partner.name),
                "tells_customers": self.partner.tells_customers,
                "alerts": [line for _, line in self.alerts],
                "attention": [line for _, line in self.attention][:LINES],
                "more": max(len(self.attention) - LINES, 0),
                "grants": self.grants,
                "secrets": self.secrets,
                "webhooks": self.webhooks,
                "all": _page("installations", state=Status.ATTENTION),
                "preferences": _page("preferences"),
            },
        )
        return told.strip() + "\n"


def _day(end: datetime) -> str:
    return end.date().isoformat()
