from django.contrib import admin, messages

from console.admin import ReadOnly, staff
from console.models import Event
from installations import ending, links
from installations.models import (
    Alert,
    AuthorizationRequest,
    Circuit,
    Credential,
    CredentialVersion,
    DigestItem,
    HookAddress,
    Installation,
    Notice,
    ReceivedWebhook,
    Revocation,
    Setup,
    SetupLink,
    Tally,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)

BY_PARTNER = ("partner", admin.RelatedOnlyFieldListFilter)


class SetupLinkInline(admin.TabularInline):
    model = SetupLink
    fields = readonly_fields = ["email", "created_by", "created_at", "expires_at", "state"]
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request, obj=None):
        return False


@admin.register(Installation)
class Installations(admin.ModelAdmin):
    list_display = [
        "connector",
        "account",
        "partner",
        "name",
        "state_label",
        "problem",
        "external_account_name",
        "last_worked_at",
    ]
    list_select_related = ["account", "partner"]
    list_filter = ["status", "connector", ("disabled_at", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["name", "external_account_name", "account__name", "partner__name", "id"]
    date_hierarchy = "created_at"
    fields = [
        ("partner", "account", "connector"),
        ("name", "description"),
        ("status", "problem", "disabled_at"),
        ("auth_method", "stored", "discovered"),
        ("external_account_id", "external_account_name"),
        ("connected_by", "connected_at", "last_worked_at", "created_at"),
    ]
    inlines = [SetupLinkInline]
    actions = ["disable", "enable"]
    show_full_result_count = False

    def get_readonly_fields(self, request, obj=None):
        editable = {"name", "description"}
        return [name for row in self.fields for name in row if name not in editable]

    def has_add_permission(self, request):
        return False

    @admin.action(description="Disable the selected installations", permissions=["change"])
    def disable(self, request, installations):
        self._set_disabled(request, installations, True)

    @admin.action(description="Enable the selected installations", permissions=["change"])
    def enable(self, request, installations):
        self._set_disabled(request, installations, False)

    def delete_model(self, request, obj):
        ending.remove(obj, staff(request, obj.partner_id))

    def delete_queryset(self, request, queryset):
        for row in queryset:
            self.delete_model(request, row)

    def _set_disabled(self, request, installations, disabled):
        what = "disabled" if disabled else "enabled"
        for row in installations:
            row.set_disabled(disabled)
            Event.objects.record(
                f"installation.{what}", staff(request, row.partner_id), f"Support {what} it", subject=row
            )
            self.log_change(request, row, f"It was {what}.")
        messages.success(request, f"{len(installations)} installations were {what}.")


@admin.register(SetupLink)
class SetupLinks(ReadOnly):
    list_display = ["created_at", "installation", "partner", "email", "state", "expires_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [
        ("completed_at", admin.EmptyFieldListFilter),
        ("revoked_at", admin.EmptyFieldListFilter),
        BY_PARTNER,
    ]
    search_fields = ["email", "partner__name", "installation__id", "id"]
    date_hierarchy = "created_at"
    actions = ["resend", "withdraw"]
    show_full_result_count = False

    def has_support_permission(self, request) -> bool:
        """The rows are read-only for everybody; whoever may change links may act on them."""
        return request.user.has_perm("installations.change_setuplink")

    @admin.action(
        description="Resend the selected links (a new one each; the old one ends)", permissions=["support"]
    )
    def resend(self, request, selected):
        for link in selected.select_related("installation__partner"):
            if not link.email:
                messages.error(request, f"The {link} has no e-mail address: the partner must make a new one.")
                continue
            if link.completed_at:
                messages.error(request, f"The {link} led to a connection: the partner can make a new one.")
                continue
            fresh, _ = links.send(
                link.installation,
                staff(request, link.partner_id),
                email=link.email,
                return_url=link.return_url,
            )
            if not fresh.mailed:
                fresh.revoke()
                messages.error(request, f"The mail to {link.email} could not be sent; the old link stays.")
                continue
            link.revoke()
            self.log_change(request, link, f"Sent again to {link.email} as a new link.")
            messages.success(request, f"A new link went to {link.email}.")

    @admin.action(description="Withdraw the selected links", permissions=["support"])
    def withdraw(self, request, selected):
        for link in selected:
            links.withdraw(link, staff(request, link.partner_id))
            self.log_change(request, link, "Withdrawn.")
        messages.success(request, f"{len(selected)} links no longer work.")


@admin.register(Setup)
class Setups(ReadOnly):
    list_display = ["created_at", "installation", "partner", "auth_method", "address_needed", "finished_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [("finished_at", admin.EmptyFieldListFilter), "auth_method", BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    show_full_result_count = False


@admin.register(Credential)
class Credentials(ReadOnly):
    list_display = ["installation", "partner"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    show_full_result_count = False


@admin.register(CredentialVersion)
class CredentialVersions(ReadOnly):
    list_display = ["created_at", "installation", "partner", "granted_scopes", "expires_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    show_full_result_count = False


@admin.register(AuthorizationRequest)
class AuthorizationRequests(ReadOnly):
    list_display = ["created_at", "installation", "partner", "outcome", "consumed_at", "expires_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = ["outcome", BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    show_full_result_count = False


@admin.register(Alert)
class Alerts(ReadOnly):
    list_display = ["opened_at", "code", "connector", "partner", "times", "last_at", "closed_at"]
    list_select_related = ["partner"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "code", BY_PARTNER]
    search_fields = ["connector", "partner__name"]
    show_full_result_count = False


@admin.register(Circuit)
class Circuits(ReadOnly):
    list_display = ["connector", "partner", "problem", "failures", "since", "open_until"]
    list_select_related = ["partner"]
    list_filter = [("open_until", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["connector", "partner__name"]
    show_full_result_count = False


@admin.register(Notice)
class Notices(ReadOnly):
    list_display = ["created_at", "kind", "subject", "partner", "sent_at", "failure"]
    list_select_related = ["partner"]
    list_filter = ["kind", ("sent_at", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["subject", "partner__name", "installation_id"]
    show_full_result_count = False


@admin.register(DigestItem)
class DigestItems(ReadOnly):
    list_display = ["noted_at", "about", "partner", "told_at"]
    list_select_related = ["partner"]
    list_filter = [("told_at", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["about", "partner__name"]
    show_full_result_count = False


@admin.register(Revocation)
class Revocations(ReadOnly):
    list_display = ["created_at", "connector", "partner", "installation_id"]
    list_select_related = ["partner"]
    list_filter = [BY_PARTNER]
    search_fields = ["connector", "partner__name", "installation_id"]
    show_full_result_count = False


@admin.register(Tally)
class Tallies(ReadOnly):
    list_display = ["day", "about", "partner", "worked", "failed"]
    list_select_related = ["partner"]
    list_filter = ["day", BY_PARTNER]
    search_fields = ["about", "partner__name"]
    show_full_result_count = False


@admin.register(HookAddress)
class HookAddresses(ReadOnly):
    list_display = ["created_at", "installation", "partner", "refused", "refused_code", "ended_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [("ended_at", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    show_full_result_count = False


@admin.register(ReceivedWebhook)
class ReceivedWebhooks(ReadOnly):
    list_display = ["received_at", "event_type", "installation", "partner", "size", "forwarded_at"]
    list_select_related = ["installation__account", "partner"]
    list_filter = [("forwarded_at", admin.EmptyFieldListFilter), BY_PARTNER]
    search_fields = ["installation__id", "partner__name"]
    date_hierarchy = "received_at"
    show_full_result_count = False


@admin.register(WebhookEndpoint)
class WebhookEndpoints(ReadOnly):
    list_display = ["created_at", "url", "partner", "disabled_at", "disabled_reason", "failing_since"]
    list_select_related = ["partner"]
    list_filter = [("disabled_at", admin.EmptyFieldListFilter), "disabled_reason", BY_PARTNER]
    search_fields = ["url", "description", "partner__name", "id"]
    show_full_result_count = False


@admin.register(WebhookMessage)
class WebhookMessages(ReadOnly):
    list_display = ["occurred_at", "type", "partner", "id"]
    list_select_related = ["partner"]
    list_filter = ["type", BY_PARTNER]
    search_fields = ["id", "installation_id", "account_id"]
    show_full_result_count = False


@admin.register(WebhookDelivery)
class WebhookDeliveries(ReadOnly):
    list_display = ["created_at", "message", "endpoint", "partner", "state", "attempts", "status", "next_at"]
    list_select_related = ["message", "endpoint", "partner"]
    list_filter = ["state", BY_PARTNER]
    search_fields = ["message__id", "endpoint__id"]
    show_full_result_count = False
