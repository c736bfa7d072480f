"""Authlib as the authorization server of the interoperation tests, under Flask. Not for production:
it signs in whoever asks.

The protocol is Authlib's; where tokens are kept, and that a spent refresh token ends its family
(RFC 9700 section 4.14.2), it leaves to its host, which is this file.

Standard input and output: as `oidc-provider.mjs`, without `modules` and `known_client_id`.
"""

import json
import os
import secrets
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import rfc8414, rfc9207
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, OAuth2Error, TokenMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Blueprint, Flask, redirect, render_template_string, request, session
from werkzeug.serving import WSGIRequestHandler, make_server

METADATA = "/.well-known/oauth-authorization-server"
SIGN_IN = """<!doctype html><title>Sign in</title>
<form method="post" action="{{ url_for('server.sign_in', next=request.full_path) }}">
<input type="text" name="name"><input type="password" name="password"><button>Sign in</button>
</form>"""
CONSENT = """<!doctype html><title>Consent</title><p>{{ client.name }} asks for {{ scope }}</p>
<form method="post" action="{{ request.full_path }}">
<input type="hidden" name="consent" value="yes"><button>Allow</button></form>"""


@dataclass
class Client(ClientMixin):
    client_id: str
    secret: str | None
    name: str = ""
    redirect_uris: list = field(default_factory=list)
    grant_types: list = field(default_factory=list)
    response_types: list = field(default_factory=list)
    scope: str = ""

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return " ".join(word for word in (scope or "").split() if word in self.scope.split())

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret):
        return self.secret is not None and secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == ("none" if self.secret is None else "client_secret_basic")

    def check_response_type(self, response_type):
        return response_type in self.response_types

    def check_grant_type(self, grant_type):
        return grant_type in self.grant_types


@dataclass
class Code(AuthorizationCodeMixin):
    client_id: str
    redirect_uri: str
    scope: str
    user: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


@dataclass
class Token(TokenMixin):
    """An access or a refresh token; those of one sign-in are one family."""

    client_id: str
    user: str
    scope: str
    family: str
    expires_at: float
    spent: bool = False

    def check_client(self, client):
        return self.client_id == client.client_id

    def get_scope(self):
        return self.scope

    def is_expired(self):
        return self.expires_at <= time.time()

    def is_revoked(self):
        return self.spent or self.family in ended


clients: dict[str, Client] = {}
codes: dict[str, Code] = {}
access_tokens: dict[str, Token] = {}
refresh_tokens: dict[str, Token] = {}
ended: set[str] = set()


def save_token(token, asked):
    renewed = getattr(asked, "refresh_token", None)
    family = renewed.family if renewed else secrets.token_hex(16)
    of = (asked.client.client_id, asked.user, token.get("scope", ""), family)
    access_tokens[token["access_token"]] = Token(*of, time.time() + token["expires_in"])
    refresh_tokens[token["refresh_token"]] = Token(*of, time.time() + 3600)


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

    def save_authorization_code(self, code, request):
        asked = request.payload
        codes[code] = Code(
            request.client.client_id,
            asked.redirect_uri,
            request.scope,
            request.user,
            asked.data.get("code_challenge"),
            asked.data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code, client):
        known = codes.get(code)
        return known if known and known.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code):
        for code in [code for code, known in codes.items() if known is authorization_code]:
            del codes[code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        known = refresh_tokens.get(refresh_token)
        if known and known.spent:
            ended.add(known.family)
        return known if known and not known.is_revoked() and not known.is_expired() else None

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.spent = True


class Challenge(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]


class Registration(ClientRegistrationEndpoint):
    def authenticate_token(self, request):
        return "open to everybody"

    def get_server_metadata(self):
        return metadata

    def save_client(self, client_info, client_metadata, request):
        public = client_metadata.get("token_endpoint_auth_method") == "none"
        client = Client(
            client_info["client_id"],
            None if public else client_info["client_secret"],
            client_metadata.get("client_name", ""),
            client_metadata["redirect_uris"],
            client_metadata.get("grant_types", ["authorization_code"]),
            client_metadata.get("response_types", ["code"]),
            client_metadata.get("scope", ""),
        )
        clients[client.client_id] = client
        return client


def find_token(token_string, token_type_hint):
    return access_tokens.get(token_string) or refresh_tokens.get(token_string)


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ["none"]

    def query_token(self, token_string, token_type_hint):
        return find_token(token_string, token_type_hint)

    def revoke_token(self, token, request):
        ended.add(token.family)


class Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_basic"]

    def check_permission(self, token, client, request):
        return client.client_id == options["resource_server"]["client_id"]

    def query_token(self, token_string, token_type_hint):
        return find_token(token_string, token_type_hint)

    def introspect_token(self, token):
        return {"client_id": token.client_id, "scope": token.scope, "sub": token.user}


class Issuer(rfc9207.IssuerParameter):
    def get_issuer(self):
        return metadata["issuer"]


def authorization_server(app):
    server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
    server.register_grant(CodeGrant, [Challenge(required=True)])
    server.register_grant(RefreshGrant)
    for endpoint in (Registration, Revocation, Introspection):
        server.register_endpoint(endpoint)
    server.register_extension(Issuer())
    return server


def routes(server):
    pages = Blueprint("server", __name__)

    @pages.route("/authorize", methods=["GET", "POST"])
    def authorize():
        user = session.get("user")
        if user is None:
            return render_template_string(SIGN_IN)
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return server.handle_error_response(request, error)
        if request.method == "GET":
            asked = grant.request
            return render_template_string(CONSENT, client=asked.client, scope=asked.scope)
        granted = user if request.form.get("consent") == "yes" else None
        return server.create_authorization_response(grant_user=granted, grant=grant)

    @pages.route("/sign-in", methods=["POST"])
    def sign_in():
        session["user"] = request.form["name"]
        return redirect(request.args["next"])

    for name in ("token", "registration", "revocation", "introspection"):
        pages.add_url_rule(f"/{name}", name, endpoint(server, name), methods=["POST"])
    return pages


def endpoint(server, name):
    known_as = {"registration": "client_registration"}.get(name, name)

    def answer():
        if name == "token":
            return server.create_token_response()
        return server.create_endpoint_response(known_as)

    return answer


def describe(issuer):
    """The metadata, by the library's own judgement of what RFC 8414 and 9207 allow."""
    described = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/registration",
        "revocation_endpoint": f"{issuer}/revocation",
        "introspection_endpoint": f"{issuer}/introspection",
        "scopes_supported": options["scopes"],
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    checked = rfc8414.AuthorizationServerMetadata(described)
    checked.validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])
    return described


class Quiet(WSGIRequestHandler):
    def log_request(self, *arguments):
        """Request lines hold codes and states."""


def ends_with_its_input():
    sys.stdin.read()
    os._exit(0)


options = json.loads(sys.stdin.readline())
app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)
lives = {grant: options["access_token_s"] for grant in ("authorization_code", "refresh_token")}
app.config.update(
    OAUTH2_REFRESH_TOKEN_GENERATOR=True,
    OAUTH2_TOKEN_EXPIRES_IN=lives,
    OAUTH2_SCOPES_SUPPORTED=options["scopes"],
    SESSION_COOKIE_SECURE=True,
)
resource_server = options["resource_server"]
clients[resource_server["client_id"]] = Client(**{
    "client_id": resource_server["client_id"], "secret": resource_server["client_secret"]
})
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(options["pem"])
listening = make_server(
    "127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=tls
)
metadata = describe(f"https://{options['host']}:{listening.server_port}{options['path']}")
app.register_blueprint(routes(authorization_server(app)), url_prefix=options["path"] or None)
place = (
    rfc8414.get_well_known_url(metadata["issuer"])
    if options["inserted"]
    else options["path"] + METADATA
)
app.add_url_rule(place, "metadata", lambda: metadata)
threading.Thread(target=ends_with_its_input, daemon=True).start()
print(json.dumps(metadata), flush=True)
listening.serve_forever()
