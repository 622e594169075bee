from django.contrib import admin

from connectors.models import ConnectorSettings, CustomConnector, Publication, Release
from console.admin import ReadOnly


@admin.register(ConnectorSettings)
class ConnectorSettingsAdmin(admin.ModelAdmin):
    """What is stored, never the values: those are the partner's to replace."""

    list_display = ["connector", "partner", "stored_names", "updated_at"]
    list_select_related = ["partner"]
    list_filter = ["connector", ("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["connector", "partner__name", "id"]
    fields = ["partner", "connector", "redirect_uri", "stored", "scopes", "auth_methods", "updated_at"]
    readonly_fields = fields
    show_full_result_count = False

    def has_add_permission(self, request):
        return False

    @admin.display(description="stored")
    def stored_names(self, row):
        return ", ".join(row.stored) or "-"


@admin.register(Release)
class Releases(ReadOnly):
    list_display = ["connector", "version", "created_at", "digest"]
    list_filter = ["connector"]
    search_fields = ["connector", "digest"]
    fields = ["connector", "version", "digest", "created_at", "manifest", "guide"]


@admin.register(CustomConnector)
class CustomConnectors(ReadOnly):
    list_display = ["slug", "partner", "live", "deprecated_at", "updated_by", "updated_at"]
    list_select_related = ["partner", "live"]
    list_filter = [("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["slug", "partner__name", "id"]
    fields = [*list_display, "tried", "tried_at", "created_at", "manifest", "guide"]
    show_full_result_count = False


@admin.register(Publication)
class Publications(ReadOnly):
    list_display = ["custom", "release", "partner", "published_by", "published_at"]
    list_select_related = ["custom__partner", "release", "partner"]
    list_filter = [("partner", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["custom__slug", "partner__name", "release__digest"]
    fields = [*list_display, "changes"]
    show_full_result_count = False
