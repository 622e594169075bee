"""The console's own pages: start, accounts, the company, signing in, and the pages for errors."""

from copy import copy
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.views.decorators.http import require_http_methods, require_safe

from console.accounts import remove, save
from console.forms import AccountForm, PartnerForm, PreferencesForm, SignInForm
from console.models import Account, ApiKey, Event, Pause
from console.paging import LongPaginator, asked_for
from console.problems import ProblemError, problem_page
from console.tenancy import partner_member
from installations import dashboard
from installations.models import Installation, Status
from installations.sparkline import sparklines
from installations.views import named

PAGE_SIZE = 50


def navigation(request: HttpRequest) -> dict:
    """The menu, with the entry of the current page marked."""
    path = request.path
    # What is called by hand is one of the developers' things, wherever its address lies.
    if request.resolver_match and request.resolver_match.url_name == "installation-explore":
        path = reverse("explorer")
    groups = [
        ("Connectors", [("Application Connector Library", reverse("library"))]),
        ("Customers", [("Accounts", reverse("accounts")), ("Installations", reverse("installations"))]),
        (
            "Company",
            [
                ("Profile", reverse("company")),
                ("Alerts", reverse("alerts")),
                ("Notices", reverse("notices")),
                ("Webhooks", reverse("webhooks")),
            ],
        ),
        (
            "Developers",
            [
                ("API keys", reverse("api-keys")),
                ("API explorer", reverse("explorer")),
                ("API reference", reverse("api-reference")),
            ],
        ),
    ]
    here = [
        url
        for _, entries in groups
        for _, url in entries
        if path.startswith((url, url.replace("library/", "add/")))
    ]
    # The keys' pages lie below the company's.
    marked = max(here, key=len, default="")
    return {
        "navigation": [
            (group, [(title, url, url == marked) for title, url in entries]) for group, entries in groups
        ],
        "partner": getattr(request, "partner", None),
        "development": settings.DEVELOPMENT,
        # Asked by the templates that show it, and only once there.
        "find_pause": Pause.now,
    }


@require_safe
@partner_member
def home(request: HttpRequest) -> HttpResponse:
    found = dashboard.of(request.principal)
    context = {
        "dashboard": found,
        "events": _with_subjects(request, Event.objects.visible_to(request.principal)[:6]),
    }
    if not found.total:
        context["steps"] = _first_steps(request, found.has_settings)
    return render(request, "console/home.html", context)


def _first_steps(request: HttpRequest, has_settings: bool) -> list[tuple[str, str, str, bool]]:
    """Title, text, address, and whether it is done."""
    return [
        (
            "Set up a connector",
            "Give it your Client ID and Client Secret once, for all your customers.",
            reverse("library"),
            has_settings,
        ),
        (
            "Add an account",
            "An account is one of your customers.",
            reverse("account-add"),
            Account.objects.visible_to(request.principal).exists(),
        ),
        (
            "Install a connector",
            "Set it up yourself, or send your customer a link.",
            reverse("installation-add"),
            False,
        ),
        (
            "Connect your own software",
            "Make an API key, and read in the API reference what it opens.",
            reverse("api-keys"),
            ApiKey.objects.visible_to(request.principal).exists(),
        ),
    ]


def _with_subjects(request: HttpRequest, events) -> list[Event]:
    """The events, each with the installation that it is about, if it is about one."""
    events = list(events)
    visible = Installation.objects.visible_to(request.principal)
    found = visible.of_partner(request.principal, [event.subject_id for event in events])
    named(found.values())
    for event in events:
        event.installation = found.get(event.subject_id)
    return events


@require_safe
@partner_member
def accounts(request: HttpRequest) -> HttpResponse:
    text = asked_for(request)
    rows = Account.objects.visible_to(request.principal)
    if text:
        rows = rows.filter(name__icontains=text) | rows.filter(external_id__icontains=text)
    page = LongPaginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    # Counted for the fifty accounts of this page only.
    ids = [row.pk for row in page.object_list]
    need = Count("pk", filter=Q(status=Status.ATTENTION, disabled_at=None))
    installed = Installation.objects.visible_to(request.principal).filter(account__in=ids).order_by()
    groups = installed.values_list("account").annotate(Count("pk"), needing=need)
    counts = {pk: (count, attention) for pk, count, attention in groups}
    for row in page.object_list:
        row.installations, row.attention = counts.get(row.pk, (0, 0))
    return render(request, "console/accounts.html", {"page": page, "q": text, "filtered": bool(text)})


@require_safe
@partner_member
def account(request: HttpRequest, account_id: UUID) -> HttpResponse:
    row = get_object_or_404(Account.objects.visible_to(request.principal), pk=account_id)
    installed = Installation.objects.visible_to(request.principal).filter(account=row)
    pages = LongPaginator(installed, PAGE_SIZE, columns=Installation.TABLE_COLUMNS)
    page = pages.get_page(request.GET.get("page"))
    for installation in named(page.object_list):
        installation.account = row
    about = f"account:{row.pk}"
    context = {
        "account": row,
        "page": page,
        "states": dashboard.states(installed),
        "keep": f"account={row.pk}&",
        "spark": sparklines(request.principal, [about])[about],
    }
    return render(request, "console/account.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def account_add(request: HttpRequest) -> HttpResponse:
    return _account_form(request, Account(partner=request.partner))


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def account_edit(request: HttpRequest, account_id: UUID) -> HttpResponse:
    row = get_object_or_404(Account.objects.visible_to(request.principal), pk=account_id)
    return _account_form(request, row)


def _account_form(request: HttpRequest, row: Account) -> HttpResponse:
    # A copy: a form writes into its instance before it is known to be valid.
    form = AccountForm(request.POST if request.method == "POST" else None, instance=copy(row))
    if request.method == "POST" and form.is_valid() and (told := save(form, request.principal)):
        messages.success(request, f"{told}.")
        return redirect("account", form.instance.pk)
    return render(
        request,
        "console/account_form.html",
        {"account": row, "form": form},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def account_delete(request: HttpRequest, account_id: UUID) -> HttpResponse:
    row = get_object_or_404(Account.objects.visible_to(request.principal), pk=account_id)
    installed = Installation.objects.visible_to(request.principal).filter(account=row).count()
    if request.method == "POST" and not installed:
        if not remove(row, request.principal):  # a connector was installed in the meantime
            return redirect("account-delete", account_id)
        messages.success(request, f"{row.name} was deleted.")
        return redirect("accounts")
    return render(request, "console/account_delete.html", {"account": row, "installed": installed})


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def company(request: HttpRequest) -> HttpResponse:
    form = PartnerForm(request.POST if request.method == "POST" else None, instance=copy(request.partner))
    if request.method == "POST" and form.is_valid():
        # These alone: support may have paused the company since this request began.
        form.save(commit=False).save(update_fields=["name", "domain", "return_urls", "tells_customers"])
        Event.objects.record(
            "partner.changed", request.principal, "The company profile was changed", subject=request.partner
        )
        messages.success(request, "Saved.")
        return redirect("company")
    return render(request, "console/company.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def preferences(request: HttpRequest) -> HttpResponse:
    """What one person is told, and nobody else's business."""
    form = PreferencesForm(
        request.POST if request.method == "POST" else None, instance=request.user.membership
    )
    if request.method == "POST" and form.is_valid():
        form.instance.save(update_fields=["wants_digest"])
        messages.success(request, "Saved.")
        return redirect("preferences")
    return render(request, "console/preferences.html", {"form": form})


class SignIn(auth_views.LoginView):
    template_name = "console/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = False

    def get_default_redirect_url(self) -> str:
        # Staff who work for no partner have their work in the admin.
        user = self.request.user
        return reverse("admin:index") if user.is_staff and user.partner() is None else reverse("home")


@require_http_methods(["GET", "HEAD", "POST"])
def staff_sign_in(request: HttpRequest) -> HttpResponse:
    """The admin sends everybody here who is not staff, whether or not they are signed in."""
    if request.user.is_authenticated:
        raise ProblemError("not_staff")
    return redirect(f"{reverse('sign-in')}?{request.GET.urlencode(safe='/')}")


class ChangePassword(LoginRequiredMixin, auth_views.PasswordChangeView):
    template_name = "console/password.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form):
        messages.success(self.request, "Your password was changed, and your other sessions were ended.")
        return super().form_valid(form)


def forbidden(request, exception=None):
    return problem_page(request, ProblemError("not_allowed"))


def not_found(request, exception=None, rest=""):
    return problem_page(request, ProblemError("not_found"))


def bad_request(request, exception=None):
    return problem_page(request, ProblemError("bad_request"))


def server_error(request):
    """Whatever broke may break again: this page asks neither the session nor the database."""
    return problem_page(request, ProblemError("server_error"), bare=True)


def csrf_failure(request, reason=""):
    return problem_page(request, ProblemError("form_expired"), action_url=request.path)
