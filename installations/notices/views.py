"""What was told to whom, and what only the partner can mend."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from connectors import catalogue
from console.paging import LongPaginator, asked_for
from console.problems import PROBLEMS
from console.tenancy import partner_member
from installations.alerts import mended_by
from installations.models import Alert, DigestItem, Installation, Notice

PAGE_SIZE = 50
KINDS = {"digest": "To your company", "alarm": "Alarms", "customer": "To customers", "failed": "Not sent"}


@require_safe
@partner_member
def notices(request: HttpRequest) -> HttpResponse:
    kind = asked_for(request, "kind")
    rows = Notice.objects.visible_to(request.principal)
    if kind == "failed":
        rows = rows.filter(sent_at=None).exclude(failure="")
    elif kind in KINDS:
        rows = rows.filter(kind=kind)
    pages = LongPaginator(
        rows, PAGE_SIZE, columns=["kind", "to", "subject", "created_at", "sent_at", "failure"]
    )
    return render(
        request,
        "installations/notices/list.html",
        {
            "page": pages.get_page(request.GET.get("page")),
            "kind": kind if kind in KINDS else "",
            "kinds": KINDS.items(),
            "can_mail": settings.CAN_MAIL,
            "gathers": DigestItem.objects.visible_to(request.principal).filter(told_at=None).exists(),
        },
    )


@require_safe
@partner_member
def notice(request: HttpRequest, notice_id: UUID) -> HttpResponse:
    row = get_object_or_404(Notice.objects.visible_to(request.principal), pk=notice_id)
    visible = Installation.objects.visible_to(request.principal).select_related("account").defer("values")
    about = visible.filter(pk=row.installation_id).first() if row.installation_id else None
    return render(request, "installations/notices/notice.html", {"notice": row, "installation": about})


@require_safe
@partner_member
def alerts(request: HttpRequest) -> HttpResponse:
    visible = Alert.objects.visible_to(request.principal)
    still_open = list(visible.filter(closed_at=None))
    pages = LongPaginator(visible.filter(closed_at__isnull=False).order_by("-closed_at"), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    rows = [*still_open, *page.object_list]
    names = catalogue.names(request.principal.partner_id, sorted({row.connector for row in rows}))
    for row in rows:
        row.name = names[row.connector]
        row.title = PROBLEMS[row.code].title.format(connector=row.name, partner=request.partner.name)
        row.mended_by = mended_by(row.code, row.name)
    return render(request, "installations/notices/alerts.html", {"open": still_open, "page": page})
