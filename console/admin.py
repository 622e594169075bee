"""Support's work. Secrets are never readable here; what an action does stands on the record."""

from datetime import timedelta

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db import transaction

from console import backlog, jobs, queue
from console.models import (
    Account,
    ApiCall,
    ApiKey,
    Event,
    Job,
    KeyCanary,
    Membership,
    Partner,
    Pause,
    User,
)
from console.templatetags.times import moment_text
from console.tenancy import Principal

# So long at most waits what could not be done because a partner was paused.
PUT_OFF = timedelta(hours=1)

admin.site.site_header = "Partner Console · Staff"
admin.site.site_title = "Partner Console"
admin.site.index_title = "Support"


def staff(request, partner_id) -> Principal:
    """Staff acting on a partner's rows, as the record names them."""
    return Principal(partner_id=partner_id, actor=f"{request.user.email} (staff)", user_id=request.user.pk)


class ReadOnly(admin.ModelAdmin):
    """Rows that the product writes and nobody edits."""

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        # They go with what they belong to, and not by themselves.
        own = f"{self.opts.app_label}_{self.opts.model_name}_"
        return not request.resolver_match.url_name.startswith(own) and super().has_delete_permission(
            request, obj
        )


class NewUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ["email"]


class MembershipInline(admin.TabularInline):
    model = Membership
    autocomplete_fields = ["partner"]


@admin.register(User)
class Users(UserAdmin):
    add_form = NewUserForm
    ordering = ["email"]
    list_display = ["email", "works_for", "is_staff", "is_active", "last_login"]
    list_filter = ["is_staff", "is_active"]
    list_select_related = ["membership__partner"]
    search_fields = ["email", "first_name", "last_name", "membership__partner__name"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        ("Name", {"fields": ["first_name", "last_name"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["email", "usable_password", "password1", "password2"]})
    ]
    inlines = [MembershipInline]
    actions = ["end_sessions"]

    # Rights come from a superuser alone: who may change users must not make one of himself, nor become one.

    def get_readonly_fields(self, request, obj=None):
        rights = ["is_staff", "is_superuser", "groups", "user_permissions"]
        return [*self.readonly_fields, *([] if request.user.is_superuser else rights)]

    def has_change_permission(self, request, obj=None):
        return self._may_touch(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return self._may_touch(request, obj) and super().has_delete_permission(request, obj)

    @staticmethod
    def _may_touch(request, user) -> bool:
        return request.user.is_superuser or not (user and (user.is_superuser or user.is_staff))

    @admin.display(description="works for")
    def works_for(self, user):
        return getattr(getattr(user, "membership", None), "partner", "-")

    @admin.action(description="End all sessions of the selected users", permissions=["change"])
    def end_sessions(self, request, users):
        users = [user for user in users if self._may_touch(request, user)]
        for user in users:
            user.end_sessions()
            self.log_change(request, user, "All sessions were ended.")
        messages.success(request, f"All sessions of {len(users)} users were ended.")


@admin.register(Partner)
class Partners(admin.ModelAdmin):
    list_display = ["name", "domain", "is_active", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name", "domain", "id"]
    readonly_fields = ["id", "created_at"]
    actions = ["pause", "resume"]

    @admin.action(description="Pause access of the selected partners", permissions=["change"])
    def pause(self, request, partners):
        self._set_active(request, partners, False)

    @admin.action(description="Resume access of the selected partners", permissions=["change"])
    def resume(self, request, partners):
        self._set_active(request, partners, True)

    def save_model(self, request, partner, form, change):
        super().save_model(request, partner, form, change)
        if change and "is_active" in form.changed_data and partner.is_active:
            jobs.hurry(partner.pk, "renew", within=PUT_OFF)

    def _set_active(self, request, partners, active):
        what = "resumed" if active else "paused"
        for partner in partners:
            Partner.objects.filter(pk=partner.pk).update(is_active=active)
            if active:
                jobs.hurry(partner.pk, "renew", within=PUT_OFF)
            Event.objects.record(
                f"partner.{what}", staff(request, partner.pk), f"Access was {what}", subject=partner
            )
            self.log_change(request, partner, f"Access was {what}.")
        messages.success(request, f"Access of {len(partners)} partners was {what}.")


@admin.register(Membership)
class Memberships(admin.ModelAdmin):
    list_display = ["user", "partner", "created_at"]
    list_select_related = ["user", "partner"]
    list_filter = [("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["user__email", "partner__name"]
    autocomplete_fields = ["user", "partner"]


@admin.register(Account)
class Accounts(admin.ModelAdmin):
    list_display = ["name", "external_id", "partner", "created_at"]
    list_select_related = ["partner"]
    list_filter = [("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "external_id", "partner__name", "id"]
    autocomplete_fields = ["partner"]
    show_full_result_count = False

    def get_readonly_fields(self, request, obj=None):
        # Its installations would stay behind with the other partner.
        return ["partner"] if obj else []


@admin.register(ApiKey)
class ApiKeys(ReadOnly):
    list_display = ["name", "beginning", "partner", "environment", "state", "last_used_at", "expires_at"]
    list_select_related = ["partner"]
    list_filter = [
        "environment",
        ("revoked_at", admin.EmptyFieldListFilter),
        ("partner", admin.RelatedOnlyFieldListFilter),
    ]
    search_fields = ["name", "prefix", "partner__name", "id"]
    exclude = ["digest", "previous_digest"]
    show_full_result_count = False
    actions = ["revoke"]

    def has_revoke_permission(self, request) -> bool:
        return request.user.has_perm("console.change_apikey")

    @admin.action(description="Revoke the selected API keys", permissions=["revoke"])
    def revoke(self, request, keys):
        revoked = [key for key in keys if key.revoke()]
        for key in revoked:
            by = staff(request, key.partner_id)
            Event.objects.record("api_key.revoked", by, f"The API key {key.name} was revoked", subject=key)
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"{len(revoked)} keys open nothing any more.")


@admin.register(ApiCall)
class ApiCalls(ReadOnly):
    """Calls that may be repeated; what was answered is sealed and not shown."""

    list_display = ["created_at", "api_key", "partner", "held_until"]
    list_select_related = ["api_key", "partner"]
    list_filter = [("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["api_key__prefix", "partner__name"]
    exclude = ["answer", "key_digest", "request_digest"]
    show_full_result_count = False


@admin.register(Event)
class Events(ReadOnly):
    list_display = ["at", "kind", "text", "actor", "partner", "reference"]
    list_select_related = ["partner"]
    list_filter = ["kind", ("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["reference", "actor", "text", "subject_id"]
    date_hierarchy = "at"
    show_full_result_count = False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(LogEntry)
class StaffChanges(ReadOnly):
    list_display = ["action_time", "user", "content_type", "object_repr", "change_message"]
    list_select_related = ["user", "content_type"]
    list_filter = ["action_flag", "content_type"]
    search_fields = ["object_repr", "user__email"]
    show_full_result_count = False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(KeyCanary)
class KeyCanaries(ReadOnly):
    list_display = ["id"]
    fields = ["id"]

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Job)
class Jobs(ReadOnly):
    # All that is of use stands side by side at 1280 pixels; the rest is on the job's own page.
    list_display = ["kind", "partner", "state", "due", "tries", "last_error"]
    list_select_related = ["partner"]
    list_filter = [
        "kind",
        ("failed_at", admin.EmptyFieldListFilter),
        ("partner", admin.RelatedOnlyFieldListFilter),
    ]
    search_fields = ["subject_id", "last_error", "partner__name"]
    show_full_result_count = False
    actions = ["try_again"]

    def changelist_view(self, request, extra_context=None):
        return super().changelist_view(
            request, {**(extra_context or {}), "queue": backlog.state(), "worker_seen_at": queue.last_seen()}
        )

    @admin.display(ordering="due_at")
    def due(self, job):
        return moment_text(job.due_at)

    @admin.display(ordering="attempts")
    def tries(self, job):
        return job.attempts

    @admin.display
    def state(self, job):
        return "Given up" if job.failed_at else "Being done" if job.started_at else "Waiting"

    def has_try_again_permission(self, request) -> bool:
        return request.user.has_perm("console.change_job")

    @admin.action(description="Try the selected jobs again, now", permissions=["try_again"])
    def try_again(self, request, rows):
        tried = [row for row in rows if jobs.try_again(row)]
        for row in tried:
            if row.partner_id:
                by = staff(request, row.partner_id)
                Event.objects.record(
                    "job.tried_again", by, f"The job {row.kind} was tried again", subject=row.subject_id
                )
            self.log_change(request, row, "Tried again.")
        messages.success(request, f"{len(tried)} jobs are due now.")


@admin.register(Pause)
class Pauses(ReadOnly):
    """To add one is to pause background work, to delete it to resume."""

    list_display = ["created_at", "reason"]
    search_fields = ["reason"]
    list_filter = ["created_at"]

    def get_form(self, request, obj=None, change=False, **kwargs):
        said = "While there is a pause nothing is renewed, checked or sent. All partners read this."
        return super().get_form(request, obj, change, help_texts={"reason": said}, **kwargs)

    def has_add_permission(self, request):
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_delete_permission(self, request, obj=None):
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def delete_model(self, request, pause):
        super().delete_model(request, pause)
        transaction.on_commit(queue.wake)

    def delete_queryset(self, request, pauses):
        super().delete_queryset(request, pauses)
        transaction.on_commit(queue.wake)
