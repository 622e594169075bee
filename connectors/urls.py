from django.urls import path

from connectors import views
from connectors.authoring import views as authoring

urlpatterns = [
    path("connectors/library/", views.library, name="library"),
    path("connectors/library/<slug:slug>/", views.overview, name="connector"),
    path("connectors/library/<slug:slug>/guide/", views.guide_tab, name="connector-guide"),
    path("connectors/library/<slug:slug>/definition/", authoring.definition, name="connector-definition"),
    path("connectors/library/<slug:slug>/discard/", authoring.discard, name="connector-discard"),
    path("connectors/library/<slug:slug>/releases/", authoring.releases, name="connector-releases"),
    path("connectors/library/<slug:slug>/publish/", authoring.publish, name="connector-publish"),
    path("connectors/library/<slug:slug>/deprecate/", authoring.deprecate, name="connector-deprecate"),
    path("connectors/library/<slug:slug>/export/", authoring.export, name="connector-export"),
    path("connectors/add/", authoring.add, name="connector-add"),
    path("connectors/add/<slug:source>/", authoring.add_from, name="connector-add-from"),
    path("connectors/check/", authoring.check, name="connector-check"),
    path("connectors/schema.json", views.schema, name="connector-schema"),
    path("connectors/logo/<slug:slug>/<slug:digest>.svg", views.logo, name="connector-logo"),
]
