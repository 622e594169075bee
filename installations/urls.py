from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from installations import (
    callback,
    entrances,
    explorer,
    health_pages,
    listing,
    registrations,
    steps,
    tryouts,
    views,
)
from installations.hooks import receiving
from installations.hooks import views as hooks
from installations.notices import views as notices
from installations.webhooks import views as webhooks


class Reference(StringConverter):
    regex = "[A-Z2-9]{8}"


register_converter(Reference, "reference")

urlpatterns = [
    path("installations/", listing.installations, name="installations"),
    path("installations/export.csv", listing.export, name="installations-export"),
    path("installations/add/", views.add, name="installation-add"),
    path("installations/upgrade/<slug:slug>/", views.upgrade_all, name="installations-upgrade"),
    path("installations/<uuid:installation_id>/", views.installation, name="installation"),
    path("installations/<uuid:installation_id>/edit/", views.edit, name="installation-edit"),
    path("installations/<uuid:installation_id>/upgrade/", views.upgrade, name="installation-upgrade"),
    path("installations/<uuid:installation_id>/test/", views.test, name="installation-test"),
    path("installations/<uuid:installation_id>/renew/", health_pages.renew, name="installation-renew"),
    path(
        "installations/<uuid:installation_id>/try-anyway/",
        health_pages.try_anyway,
        name="installation-try-anyway",
    ),
    path(
        "installations/<uuid:installation_id>/reauthorise/",
        views.reauthorise,
        name="installation-reauthorise",
    ),
    path(
        "installations/<uuid:installation_id>/disconnect/", views.disconnect, name="installation-disconnect"
    ),
    path("installations/<uuid:installation_id>/disable/", views.disable, name="installation-disable"),
    path("installations/<uuid:installation_id>/enable/", views.enable, name="installation-enable"),
    path("installations/<uuid:installation_id>/delete/", views.delete, name="installation-delete"),
    path("installations/<uuid:installation_id>/links/", views.send_link, name="installation-link"),
    path(
        "installations/<uuid:installation_id>/links/<uuid:link_id>/revoke/",
        views.revoke_link,
        name="installation-link-revoke",
    ),
    path("installations/<uuid:installation_id>/webhooks/", hooks.received, name="installation-webhooks"),
    path("installations/<uuid:installation_id>/explore/", explorer.explore, name="installation-explore"),
    path(
        "installations/<uuid:installation_id>/webhooks/address/",
        hooks.make_address,
        name="installation-webhook-address",
    ),
    path(
        "installations/<uuid:installation_id>/webhooks/secret/",
        hooks.enter_secret,
        name="installation-webhook-secret",
    ),
    path(
        "installations/<uuid:installation_id>/webhooks/<uuid:received_id>/",
        hooks.one,
        name="installation-webhook",
    ),
    path(
        "installations/<uuid:installation_id>/webhooks/<uuid:received_id>/forward/",
        hooks.forward_again,
        name="installation-webhook-forward",
    ),
    path(
        "installations/<uuid:installation_id>/setup/",
        steps.installation_start,
        name="installation-setup-start",
    ),
    path(
        "installations/<uuid:installation_id>/setup/switch/",
        steps.installation_switch,
        name="installation-switch",
    ),
    path(
        "installations/<uuid:installation_id>/setup/problem-<reference:reference>/",
        steps.installation_problem,
        name="installation-problem",
    ),
    path(
        "installations/<uuid:installation_id>/setup/<str:slug>/",
        steps.installation_step,
        name="installation-setup",
    ),
    path("explorer/", explorer.pick, name="explorer"),
    path("alerts/", notices.alerts, name="alerts"),
    path("notices/", notices.notices, name="notices"),
    path("notices/<uuid:notice_id>/", notices.notice, name="notice"),
    path("webhooks/", webhooks.webhooks, name="webhooks"),
    path("webhooks/add/", webhooks.add, name="webhook-add"),
    path("webhooks/<uuid:endpoint_id>/", webhooks.webhook, name="webhook"),
    path("webhooks/<uuid:endpoint_id>/edit/", webhooks.edit, name="webhook-edit"),
    path("webhooks/<uuid:endpoint_id>/secret/", webhooks.rotate, name="webhook-rotate"),
    path("webhooks/<uuid:endpoint_id>/switch/", webhooks.switch, name="webhook-switch"),
    path("webhooks/<uuid:endpoint_id>/delete/", webhooks.delete, name="webhook-delete"),
    path("webhooks/<uuid:endpoint_id>/test/", webhooks.test, name="webhook-test"),
    path("webhooks/<uuid:endpoint_id>/replay/", webhooks.replay, name="webhook-replay"),
    path("webhooks/deliveries/<uuid:delivery_id>/", webhooks.delivery, name="webhook-delivery"),
    path("webhooks/deliveries/<uuid:delivery_id>/again/", webhooks.send_again, name="webhook-again"),
    path("connectors/library/<slug:slug>/settings/", registrations.settings_tab, name="connector-settings"),
    path(
        "connectors/library/<slug:slug>/settings/overlap/",
        registrations.end_overlap,
        name="connector-overlap-end",
    ),
    path(
        "connectors/library/<slug:slug>/settings/<slug:name>/remove/",
        registrations.remove_value,
        name="connector-remove-value",
    ),
    path("connectors/library/<slug:slug>/consents/", registrations.consents, name="connector-consents"),
    path(
        "connectors/library/<slug:slug>/disconnect/",
        registrations.disconnect_all,
        name="connector-disconnect-all",
    ),
    path("connectors/library/<slug:slug>/health/", health_pages.connector, name="connector-health"),
    path("connectors/library/<slug:slug>/try/", tryouts.try_out, name="connector-try"),
    path("connectors/library/<slug:slug>/delete/", tryouts.delete_connector, name="connector-delete"),
    # Any token is answered alike, by the same view.
    re_path(r"^hooks/(?P<token>[^/]+)/$", receiving.receive, name="hook"),
    # Tokens are 43 characters of base64url; anything else is answered alike, by the same view.
    re_path(r"^s/(?P<token>[^/]+)/$", entrances.open_setup_link, name="setup-link"),
    path("setup/<uuid:link_id>/", steps.setup, name="setup"),
    path("setup/<uuid:link_id>/problem-<reference:reference>/", steps.setup_problem, name="setup-problem"),
    path("setup/<uuid:link_id>/<str:slug>/", steps.setup_step, name="setup-step"),
    path("oauth/callback/<uuid:registration_id>/", callback.oauth_callback, name="oauth-callback"),
    path("oauth/problem/<slug:code>/<reference:reference>/", callback.oauth_problem, name="oauth-problem"),
]
