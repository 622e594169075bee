from django.urls import path

from connectors import views

urlpatterns = [
    path("connectors/library/", views.library, name="library"),
    path("connectors/library/<slug:slug>/", views.overview, name="connector"),
    path("connectors/library/<slug:slug>/settings/", views.settings_tab, name="connector-settings"),
    path(
        "connectors/library/<slug:slug>/settings/<slug:name>/remove/",
        views.remove_value,
        name="connector-remove-value",
    ),
    path("connectors/library/<slug:slug>/guide/", views.guide_tab, name="connector-guide"),
    path("connectors/schema.json", views.schema, name="connector-schema"),
    path("connectors/logo/<slug:slug>.svg", views.logo, name="connector-logo"),
]
