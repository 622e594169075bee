"""A partner's installations: the list, one of them, and what can be done with it."""

from collections.abc import Iterable
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connectors import catalogue
from connectors.models import ConnectorSettings
from connectors.registry import Connector
from console import throttle
from console.models import Account, Event
from console.paging import LongPaginator, asked_for
from console.problems import PROBLEMS, ProblemError, problem_page
from console.tenancy import partner_member
from installations import bulletin, ending, health, links, making, upgrading
from installations.ending import name_of
from installations.forms import InstallationForm, ReauthoriseForm, SetupLinkForm
from installations.hooks import views as hook_pages
from installations.models import Installation, Revocation, SetupLink

PAGE_SIZE = 50


def _installation(request: HttpRequest, installation_id: UUID) -> Installation:
    rows = Installation.objects.visible_to(request.principal).select_related("account", "partner")
    return get_object_or_404(rows, pk=installation_id)


def named(rows: Iterable[Installation]) -> list[Installation]:
    """The rows, each with what a table of installations says in words."""
    for row in rows:
        row.connector_name = name_of(row)
        problem = PROBLEMS.get(row.problem)
        row.reason = problem.title.format(connector=row.connector_name, partner="") if problem else ""
    return list(rows)


@require_safe
@partner_member
def installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    problem = PROBLEMS.get(row.problem)
    names = {"connector": name_of(row), "partner": row.partner.name}
    return render(
        request,
        "installations/detail.html",
        {
            "installation": row,
            "connector": row.definition,
            "name": name_of(row),
            "reason": problem and (problem.title.format(**names), problem.what.format(**names)),
            "method": row.definition and row.auth_method and row.definition.manifest.method(row.auth_method),
            "health": bulletin.of(row, request.principal),
            "hooks": hook_pages.summary(row, request.principal),
            "open_setup": row.open_setup(),
            "ending": Revocation.objects.visible_to(request.principal)
            .filter(installation_id=row.pk)
            .exists(),
            "links": SetupLink.objects.visible_to(request.principal).filter(installation=row)[:20],
            "events": Event.objects.visible_to(request.principal).filter(subject_id=row.pk)[:20],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def add(request: HttpRequest) -> HttpResponse:
    """Choose the account, then the connector, then a name: each is in the address, so that back works."""
    accounts = Account.objects.visible_to(request.principal)
    text = asked_for(request)
    account_id = request.GET.get("account", "")
    account = accounts.filter(pk=account_id).first() if _is_uuid(account_id) else None
    if account is None:
        found = accounts.filter(name__icontains=text) if text else accounts
        page = LongPaginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
        return render(request, "installations/add_account.html", {"page": page, "q": text})
    connector = catalogue.offered(request.principal, request.GET.get("connector", ""))
    if connector is None:
        found = catalogue.search(request.principal, text, only_offered=True)
        page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
        context = {"account": account, "page": page, "q": text}
        return render(request, "installations/add_connector.html", context)
    new = Installation(partner=request.partner, account=account, connector=connector.slug)
    form = InstallationForm(request.POST if request.method == "POST" else None, instance=new)
    if request.method == "POST" and form.is_valid():
        row = making.make(form, connector, request.principal)
        then = request.POST.get("then")
        if then == "link":
            return redirect("installation-link", row.pk)
        if then == "later":
            messages.success(
                request, f"{connector.name} was installed in {account.name}. Set it up whenever you like."
            )
            return redirect("installation", row.pk)
        return redirect("installation-setup-start", row.pk)
    settings = (
        ConnectorSettings.objects.visible_to(request.principal).filter(connector=connector.slug).first()
    )
    return render(
        request,
        "installations/add.html",
        {"account": account, "connector": connector, "form": form, "settings": settings},
        status=422 if form.errors else 200,
    )


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def edit(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    form = InstallationForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method == "POST" and form.is_valid():
        making.edit(row, request.principal)
        messages.success(request, "Saved.")
        return redirect("installation", row.pk)
    context = {"installation": row, "connector": row.definition, "form": form}
    return render(request, "installations/edit.html", context, status=422 if form.errors else 200)


def defined(installation: Installation) -> Connector:
    """Raises ProblemError "connector_gone" where nobody knows any more what it was."""
    if connector := installation.definition:
        return connector
    raise ProblemError("connector_gone")


@require_POST
@partner_member
def upgrade(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """From now on by today's release of the connector."""
    row = _installation(request, installation_id)
    visible = ConnectorSettings.objects.visible_to(request.principal)
    try:
        upgrading.upgrade(row, visible.for_connector(row.partner_id, row.connector), request.principal)
    except ProblemError as error:
        messages.error(request, error.sentence(connector=name_of(row), partner=row.partner.name))
    else:
        messages.success(request, f"It uses version {row.definition.manifest.version} now.")
    return redirect("installation", row.pk)


@require_POST
@partner_member
def upgrade_all(request: HttpRequest, slug: str) -> HttpResponse:
    """Every installation of a connector that can go on by today's release without anybody being asked."""
    if catalogue.get(request.principal.partner_id, slug) is None:
        raise Http404(f"no connector {slug}")
    upgrading.begin(request.principal, slug)
    return redirect(f"{reverse('installations')}?connector={slug}")


@require_POST
@partner_member
def test(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    name = name_of(row)
    try:
        throttle.spend(f"verify:{row.pk}", per_minute=20)
        defined(row)
        identity = health.test(row, request.principal, request.reference)
    except ProblemError as error:
        nothing = " Nothing was changed." if error.code.startswith("provider_") else ""
        messages.error(
            request,
            f"{error.sentence(connector=name, partner=row.partner.name)}{nothing} "
            f"Reference {request.reference}.",
        )
    else:
        messages.success(request, f"It works: {name} answered for {identity.account_name}.")
    return redirect("installation", row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def reauthorise(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Ask for a new credential in place. The one in use goes on working until the new one is verified."""
    row = _installation(request, installation_id)
    if row.disabled_at:
        raise ProblemError("installation_disabled")
    defined(row)
    form = ReauthoriseForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        making.ask_again(row, request.principal, switch_account=form.cleaned_data["switch_account"])
        if request.POST.get("then") == "link":
            return redirect("installation-link", row.pk)
        return redirect("installation-setup-start", row.pk)
    return render(
        request,
        "installations/reauthorise.html",
        {"installation": row, "connector": row.definition, "form": form},
    )


@require_POST
@partner_member
def disable(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """It is not used any more until it is switched on again; what is stored is kept."""
    row = _installation(request, installation_id)
    if making.switch(row, request.principal, off=True):
        messages.success(request, "Switched off. Nothing uses it until you switch it on again.")
    return redirect("installation", row.pk)


@require_POST
@partner_member
def enable(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    if making.switch(row, request.principal, off=False):
        messages.success(request, "Switched on.")
    elif row.disabled_at:
        messages.error(request, "Support switched it off, and only support can switch it on again.")
    return redirect("installation", row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def disconnect(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    if request.method == "POST":
        told = ending.disconnect(row, request.principal)
        messages.success(request, f"Disconnected. Its credential was destroyed here. {told}")
        return redirect("installation", row.pk)
    context = {"installation": row, "connector": row.definition, "asks": ending.can_ask(row)}
    return render(request, "installations/disconnect.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def delete(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    if request.method == "POST":
        told = ending.remove(row, request.principal)
        messages.success(request, f"The installation was deleted, and its credential with it. {told}")
        return redirect("installations")
    context = {"installation": row, "connector": row.definition, "asks": ending.can_ask(row)}
    return render(request, "installations/delete.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def send_link(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Make a setup link. Its address is shown once, in the answer to this very request."""
    row = _installation(request, installation_id)
    if row.disabled_at:
        return problem_page(
            request,
            ProblemError("installation_disabled"),
            partner=row.partner.name,
            action_url=reverse("installation", args=[row.pk]),
        )
    defined(row)
    form = SetupLinkForm(request.POST if request.method == "POST" else None, partner=request.partner)
    context = {"installation": row, "connector": row.definition, "form": form}
    if request.method == "POST" and form.is_valid():
        made = SetupLink.objects.visible_to(request.principal).filter(pk=form.cleaned_data["id"])
        if made.exists():
            messages.info(
                request, "That link was made already and is shown only once. Make another if you need."
            )
            return redirect("installation", row.pk)
        context["link"], context["url"] = links.send(row, request.principal, **form.cleaned_data)
        return render(request, "installations/link_made.html", context)
    return render(request, "installations/link.html", context, status=422 if form.errors else 200)


@require_POST
@partner_member
def revoke_link(request: HttpRequest, installation_id: UUID, link_id: UUID) -> HttpResponse:
    row = _installation(request, installation_id)
    link = get_object_or_404(
        SetupLink.objects.visible_to(request.principal).filter(installation=row), pk=link_id
    )
    links.withdraw(link, request.principal)
    messages.success(request, "The link no longer works.")
    return redirect("installation", row.pk)
