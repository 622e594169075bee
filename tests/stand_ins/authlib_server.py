"""An independent OAuth 2 authorization server: Partner Console against other people's code.

    python -m tests.stand_ins.authlib_server --port 8002 --client ID:SECRET:REDIRECT_URI

The protocol is Authlib's; these modules only add storage in memory and a consent page.
Unlike the stand-in for Heartland Retail, it requires PKCE, lets tokens expire, rotates
refresh tokens and has a revocation endpoint.
"""

import argparse
import os
import sys
import time

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer,
    ResourceProtector,
    current_token,
)
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, render_template, request

from .authlib_memory import USERS, Client, Code, memory
from .serving import serve

NAME = "Authlib stand-in"
CODE_SECONDS = 60
AUTH_METHODS = ("client_secret_basic", "client_secret_post")


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code, oauth_request):
        asked = oauth_request.payload.data
        memory.codes[code] = Code(
            code=code,
            client_id=oauth_request.client.client_id,
            user=oauth_request.user,
            redirect_uri=oauth_request.payload.redirect_uri,
            scope=oauth_request.scope,
            code_challenge=asked["code_challenge"],
            code_challenge_method=asked["code_challenge_method"],
            expires=time.time() + CODE_SECONDS,
        )

    def query_authorization_code(self, code, client):
        found = memory.codes.get(code)
        if found is None or found.client_id != client.client_id:
            return None
        if found.used:
            # RFC 6749, 4.1.2: a second use revokes what the first one brought.
            memory.revoke_family(found.family)
            return None
        return found if found.expires > time.time() else None

    def delete_authorization_code(self, authorization_code):
        authorization_code.used = True

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RequiredS256(CodeChallenge):
    """Authlib's own `required` spares clients that have a secret; this server spares nobody."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant, redirect_uri):
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or not asked.get("code_challenge_method"):
            raise InvalidRequestError("PKCE is required: send a code_challenge with method S256.")
        super().validate_code_challenge(grant, redirect_uri)


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        found = memory.find_token(refresh_token=refresh_token)
        if found and found.refresh_revoked:
            # RFC 9700, 4.14.2: an old refresh token that comes back hints at theft.
            memory.revoke_family(found.family)
            return None
        return found

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.refresh_revoked = True


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string, token_type_hint):
        return memory.find_token(access_token=token_string) or memory.find_token(refresh_token=token_string)

    def revoke_token(self, token, oauth_request):
        """RFC 7009, 2.1: with a refresh token, its access tokens go as well."""
        if oauth_request.form["token"] == token.refresh_token:
            memory.revoke_family(token.family)
        else:
            token.access_revoked = True


class BearerValidator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return memory.find_token(access_token=token_string)


def application(expires_in):
    app = Flask(__name__, template_folder="templates/authlib")
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(("authorization_code", "refresh_token"), expires_in)
    server = AuthorizationServer(app, memory.clients.get, memory.save_token)
    server.register_grant(AuthorizationCodeGrant, [RequiredS256(required=True)])
    server.register_grant(RefreshTokenGrant)
    server.register_endpoint(Revocation)
    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(BearerValidator())

    @app.before_request
    def count():
        if not request.path.startswith("/_"):
            with memory.lock:
                memory.calls[request.path] += 1

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize():
        chosen = request.form.get("as") or request.args.get("as")
        user = USERS.get(chosen, USERS["first"])
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        if request.method == "GET":
            client = grant.request.client
            asked = grant.request.payload.scope
            return render_template("consent.html", client=client, users=USERS, user=user, scope=asked)
        allowed = request.form.get("decision") == "allow"
        with memory.lock:
            return server.create_authorization_response(grant_user=user if allowed else None, grant=grant)

    @app.post("/token")
    def token():
        with memory.lock:  # two requests must not use the same code or refresh token at once
            return server.create_token_response()

    @app.post("/revoke")
    def revoke():
        with memory.lock:
            return server.create_endpoint_response(Revocation.ENDPOINT_NAME)

    @app.get("/userinfo")
    @require_oauth()
    def userinfo():
        return jsonify(current_token.user)

    _add_control(app)
    return app


def _add_control(app):
    """For tests only; the paths begin with "/_" and are not counted."""

    @app.post("/_apps")
    def register():
        sent = request.get_json()
        client = Client(
            client_id=sent["client_id"],
            client_secret=sent["client_secret"],
            redirect_uri=sent["redirect_uri"],
            auth_method=sent.get("auth_method", AUTH_METHODS[0]),
        )
        memory.clients[client.client_id] = client
        return jsonify(client_id=client.client_id), 201

    @app.get("/_calls")
    def calls():
        return jsonify(memory.calls)

    @app.post("/_calls/reset")
    def reset_calls():
        memory.calls.clear()
        return "", 204


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.stand_ins.authlib_server", description=NAME)
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--client", action="append", default=[], metavar="ID:SECRET:REDIRECT_URI")
    parser.add_argument("--auth-method", choices=AUTH_METHODS, default=AUTH_METHODS[0])
    parser.add_argument("--expires-in", type=int, default=3600)
    options = parser.parse_args()
    if options.expires_in < 1:
        parser.error("--expires-in has to be at least 1")
    for given in options.client:
        client_id, _, rest = given.partition(":")
        secret, _, redirect_uri = rest.partition(":")
        if not (client_id and secret and redirect_uri):
            parser.error("--client takes ID:SECRET:REDIRECT_URI")
        memory.clients[client_id] = Client(client_id, secret, redirect_uri, options.auth_method)
    # Authlib refuses plain http otherwise; this server only listens on the loopback interface.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    return serve(application(options.expires_in), options.port, NAME)


if __name__ == "__main__":
    sys.exit(main())
