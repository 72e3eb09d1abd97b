"""Django OAuth Toolkit as Debian ships it, unmodified, for the integration tests.

Everything a Django project needs is in this file: settings, URLs, a login form,
one user, three applications. It serves on loopback, prints {"url": ...} when it
is ready, and ends when its standard input is closed.

Environment: PORT (0: a free one), DATABASE (a file, made if need be), REDIRECT_URI
(of the public client), NOCASE (if set, the database compares client identifiers
without regard to case, as MySQL does).
"""

import json
import os
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",  # redirects to addresses with a slash
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {
                            "registration/login.html": "<form method=post>{% csrf_token %}{{ form }}"
                            "<input type=hidden name=next value='{{ next }}'></form>",
                        },
                    ),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    LOGIN_URL="/login/",
    OAUTH2_PROVIDER={
        "SCOPES": {"read": "read", "write": "write"},
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
    },
    # Cheap, for the tests' sake: this is no place for real passwords.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402

urlpatterns = [
    path("login/", LoginView.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


def populate():
    """Makes the user and the applications, unless they are there already."""
    users, applications = get_user_model().objects, get_application_model()
    if users.filter(username="ada").exists():
        return
    ada = users.create_user("ada", password="password")
    applications.objects.create(
        user=ada,
        name="mcp client",
        client_id="mcp-client",
        client_type=applications.CLIENT_PUBLIC,
        authorization_grant_type=applications.GRANT_AUTHORIZATION_CODE,
        redirect_uris=os.environ["REDIRECT_URI"],
    )
    for name in ("machine", "front-door"):
        applications.objects.create(
            user=ada,
            name=name,
            client_id=name,
            client_secret=name + "-secret",
            client_type=applications.CLIENT_CONFIDENTIAL,
            authorization_grant_type=applications.GRANT_CLIENT_CREDENTIALS,
        )


def ignore_case():
    """Gives the column of client identifiers another collation."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA writable_schema = ON")
        cursor.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '\"client_id\" varchar(100) NOT NULL UNIQUE', '\"client_id\" varchar(100) COLLATE NOCASE NOT NULL UNIQUE')"
            " WHERE name = 'oauth2_provider_application'"
        )
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("REINDEX")
    assert get_application_model().objects.filter(client_id="MCP-Client").exists()
    connection.close()


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format, *args):
        sys.stderr.write(format % args + "\n")


call_command("migrate", verbosity=0)
populate()
if os.environ.get("NOCASE"):
    ignore_case()
server = make_server("127.0.0.1", int(os.environ.get("PORT", "0")), get_wsgi_application(), Server, QuietHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
sys.stdin.read()
