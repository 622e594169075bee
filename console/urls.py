from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from console import api_pages, keys_pages, operations, views
from console.api import api
from installations.api.credentials import fetch
from installations.api.proxy import proxy

# Of an address that a plain view and an operation share.
_operations = {pattern.name: pattern.callback for pattern in api.urls[0]}


def credential(request, installation_id):
    view = fetch if request.method == "GET" else _operations["get_credential"]
    return view(request, installation_id=installation_id)


urlpatterns = [
    # First what is asked most.
    path("api/v1/installations/<uuid:installation_id>/proxy/", proxy, name="proxy"),
    path("api/v1/installations/<uuid:installation_id>/proxy/<path:rest>", proxy, name="proxy"),
    path("api/v1/installations/<uuid:installation_id>/credential", credential, name="credential"),
    path("api/v1/", api.urls),
    path("", views.home, name="home"),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.metrics, name="metrics"),
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("password/", views.ChangePassword.as_view(), name="password"),
    path("accounts/", views.accounts, name="accounts"),
    path("accounts/add/", views.account_add, name="account-add"),
    path("accounts/<uuid:account_id>/", views.account, name="account"),
    path("accounts/<uuid:account_id>/edit/", views.account_edit, name="account-edit"),
    path("accounts/<uuid:account_id>/delete/", views.account_delete, name="account-delete"),
    path("company/", views.company, name="company"),
    path("company/api-keys/", keys_pages.api_keys, name="api-keys"),
    path("company/api-keys/add/", keys_pages.add, name="api-key-add"),
    path("company/api-keys/<uuid:key_id>/", keys_pages.api_key, name="api-key"),
    path("company/api-keys/<uuid:key_id>/rotate/", keys_pages.rotate, name="api-key-rotate"),
    path("company/api-keys/<uuid:key_id>/revoke/", keys_pages.revoke, name="api-key-revoke"),
    path("api/reference/", api_pages.reference, name="api-reference"),
    path("api/problems/", api_pages.problems, name="api-problems"),
    path("e-mail-settings/", views.preferences, name="preferences"),
    path("", include("connectors.urls")),
    path("", include("installations.urls")),
    # One way to sign in, with one limit on tries.
    path("staff/login/", views.staff_sign_in),
    # "View on site" of the admin, which nothing here has.
    path("staff/r/<path:rest>", views.not_found),
    path("staff/", admin.site.urls),
]

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler500 = views.server_error
