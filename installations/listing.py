"""The list of installations, as a page and as a spreadsheet."""

import csv
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from connectors import catalogue
from console import throttle
from console.models import Account
from console.paging import LongPaginator
from console.tenancy import partner_member
from installations import upgrading
from installations.filters import CREATED, STATES, WORKED, Filters, lacks_choices
from installations.models import Installation
from installations.views import named

PAGE_SIZE = 50
SEARCH_LIMIT = 1000
EXPORT_LIMIT = 100_000


@require_safe
@partner_member
def installations(request: HttpRequest) -> HttpResponse:
    filters = Filters.asked(request)
    pages = LongPaginator(
        filters.rows(request.principal),
        PAGE_SIZE,
        joined=["account"],
        columns=[*Installation.TABLE_COLUMNS, "account__name"],
        at_most=SEARCH_LIMIT if filters.q else None,
    )
    page = pages.get_page(request.GET.get("page"))
    named(page.object_list)
    visible = Installation.objects.visible_to(request.principal)
    partner = request.principal.partner_id
    used = list(catalogue.names(partner, visible.connectors(request.principal)).items())
    behind = upgrading.behind(request.principal, filters.connector) if filters.connector else None
    account = filters.account_id and (
        Account.objects.visible_to(request.principal).filter(pk=filters.account_id).first()
    )
    response = render(
        request,
        "installations/list.html",
        {
            "page": page,
            "filters": filters,
            "q": filters.q,
            "states": STATES,
            "account": account,
            "selects": [
                ("connector", "Connector", filters.connector, used),
                ("worked", "Last worked", filters.worked, WORKED),
                ("created", "Added", filters.created, CREATED),
                ("lacks", "What it lacks", filters.lacks, lacks_choices(filters.connector)),
            ],
            "filtered": bool(filters),
            "export_limit": EXPORT_LIMIT,
            "behind": behind,
        },
    )
    if behind and behind.is_under_way:
        # Seconds, until the page is loaded anew.
        response["Refresh"] = "3"
    return response


class _Echo:
    """What csv writes to: a line is handed on as it is."""

    def write(self, line: str) -> str:
        return line


HEAD = [
    "Installation ID",
    "Account",
    "External ID",
    "Connector",
    "Name",
    "State",
    "Reason",
    "Connected to",
    "Connected by",
    "Connected at",
    "Last worked at",
    "Ends at",
    "Missing permissions",
    "Added at",
]


@require_safe
@partner_member
def export(request: HttpRequest) -> HttpResponse:
    """The list as it is narrowed down, as CSV (RFC 4180), row by row: no more of it is ever in memory."""
    throttle.spend(f"export:{request.principal.partner_id}", per_minute=10)
    rows = Filters.asked(request).rows(request.principal).select_related("account")
    columns = [
        *Installation.TABLE_COLUMNS,
        "connected_at",
        "grant_expires_at",
        "missing_scopes",
        "created_at",
    ]
    rows = rows.only(*columns, "account__name", "account__external_id")[:EXPORT_LIMIT]
    write = csv.writer(_Echo()).writerow
    lines = (write(map(defused, line)) for line in _lines(rows))
    return StreamingHttpResponse(
        # The mark tells a spreadsheet that it is UTF-8.
        ("\ufeff" + line if number == 0 else line for number, line in enumerate(lines)),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="installations-{timezone.now():%Y-%m-%d}.csv"'
        },
    )


def _lines(rows) -> Iterator[list[str]]:
    yield HEAD
    for row in rows.iterator(chunk_size=1_000):
        named([row])
        yield [
            str(row.pk),
            row.account.name,
            row.account.external_id,
            row.connector_name,
            row.name,
            row.state_label,
            row.reason,
            row.external_account_name,
            row.connected_by,
            _time(row.connected_at),
            _time(row.last_worked_at),
            _time(row.grant_expires_at),
            row.missing_scopes,
            _time(row.created_at),
        ]


def _time(at) -> str:
    return at.isoformat(timespec="seconds") if at else ""


# What a spreadsheet may take for the beginning of a formula; the last four as Chinese and Japanese type them.
_FORMULA = ("=", "+", "-", "@", "|", "%", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def defused(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe in front says that it is none."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
