"""All settings, read from the environment and from a .env file beside manage.py.

The names and their defaults are listed in .env.example. Production is the default: what only a
developer's machine may do (plain http, stand-ins, loopback addresses) needs DEVELOPMENT=1.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF

from console import keys

BASE_DIR = Path(__file__).resolve().parent.parent

# The database, the mails kept as files and the demonstration's passwords are for this user alone.
os.umask(0o077)

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

DEVELOPMENT = env.bool("DEVELOPMENT", default=False)
DEBUG = DEVELOPMENT and env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    raise SystemExit(
        "SECRET_KEY is missing: set it in the environment or in .env.\n"
        "On a developer's machine `make .env` writes one; .env.example lists what production needs."
    )
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ENCRYPTION_KEYS = keys.parse_ring(env.str("ENCRYPTION_KEYS", default=""), secret_key=SECRET_KEY)

# Redirect URIs and setup links are built from this address, never from a request's Host header.
BASE_URL = env.str("BASE_URL", **({"default": "http://127.0.0.1:8000"} if DEVELOPMENT else {})).rstrip("/")
if not DEVELOPMENT and not BASE_URL.startswith("https://"):
    raise SystemExit("BASE_URL must begin with https:// (plain http needs DEVELOPMENT=1).")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(BASE_URL).hostname])
CSRF_TRUSTED_ORIGINS = [BASE_URL]

INSTALLED_APPS = [
    "console",
    "connectors",
    "installations",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
]

MIDDLEWARE = [
    "console.middleware.RequestLog",
    "console.middleware.OneAddress",
    "django.middleware.security.SecurityMiddleware",
    "console.api_requests.ApiRequests",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "console.middleware.PrivatePages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "console.middleware.WrongMethod",
]

ROOT_URLCONF = "console.urls"
WSGI_APPLICATION = "console.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.views.navigation",
            ],
            "builtins": ["console.templatetags.prose", "console.templatetags.times"],
        },
    }
]
# Field templates are looked up in templates/django/forms, where the look of every field is decided.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'var' / 'console.sqlite3'}")}
# A new connection for each request would find SQLite's cache of pages empty each time.
DATABASES["default"]["CONN_MAX_AGE"] = 60
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Little cache for each thread: what lies behind it is mapped, and so shared by all.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000; "
        "PRAGMA mmap_size=268435456;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Of each server process and worker to PostgreSQL at most; 0: one for each thread. console/lending.py
DATABASE_CONNECTIONS = env.int("DATABASE_CONNECTIONS", default=0)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": env.cache("CACHE_URL", default="locmemcache://"),
    # Where the shared one is down.
    "own": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "own"},
}
for _cache in CACHES.values():
    if "locmem" in _cache["BACKEND"]:
        # The default of 300 would forget the tries that limits count while others are counted.
        _cache.setdefault("OPTIONS", {}).setdefault("MAX_ENTRIES", 100_000)

# What wakes the workers: redis://… beyond one machine, else a file.
QUEUE_URL = env.str("QUEUE_URL", default="")
QUEUE_FILE = Path(env.str("QUEUE_FILE", default=str(BASE_DIR / "var" / "queue.sqlite3")))
# Answers of token endpoints between their arrival and the database; must outlive the process.
SPOOL_DIR = Path(env.str("SPOOL_DIR", default=str(BASE_DIR / "var" / "spool")))

# Who may read /metrics; empty: nobody, and nothing is counted. One folder for all processes of a machine.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_DIR = Path(env.str("METRICS_DIR", default=str(BASE_DIR / "var" / "metrics")))

DEMO_FILE = Path(env.str("DEMO_FILE", default=str(BASE_DIR / "var" / "demo.txt")))
AUTH_USER_MODEL = "console.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "var" / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

EMAIL_FILE_PATH = str(BASE_DIR / "var" / "mail")
# A file is no mail: in production without a mail server nobody is told that something was sent.
CAN_MAIL = DEVELOPMENT or "EMAIL_URL" in env.ENVIRON
vars().update(
    env.email("EMAIL_URL", default=f"filemail:///{EMAIL_FILE_PATH}" if CAN_MAIL else "dummymail://")
)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Partner Console <console@localhost>")

# Cookies and transport. A __Host- cookie is bound to this very host by the browser (RFC 6265bis,
# section 4.1.3.2) and needs https, which a developer's machine does not have.
SECURE = not DEVELOPMENT
COOKIE_PREFIX = "__Host-" if SECURE else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "console.views.csrf_failure"
SESSION_COOKIE_AGE = 12 * 60 * 60
# Not in a cookie of their own, which would have no such prefix.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_SSL_REDIRECT = SECURE
SECURE_SSL_HOST = urlsplit(BASE_URL).netloc
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# How many reverse proxies append to X-Forwarded-For; 0 trusts the socket's address only.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
PERMISSIONS_POLICY = {
    name: [] for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
}

# Where connectors are read from, each a folder of <slug>/manifest.toml. Later ones win.
CONNECTOR_LIBRARIES = [
    BASE_DIR / "connectors" / "library",
    *map(Path, env.list("CONNECTOR_LIBRARIES", default=[])),
]
# {"https://retail.heartland.us": "http://127.0.0.1:8001"}: requests for the first go to the second.
STAND_IN_ORIGINS = env.dict("STAND_IN_ORIGINS", default={})
if STAND_IN_ORIGINS and not DEVELOPMENT:
    raise SystemExit("STAND_IN_ORIGINS needs DEVELOPMENT=1: stand-ins have no place in production.")

# Calls passed on to providers at once by each process: in all, and for one installation. Less than the
# threads of a process, so that slow providers leave some for pages.
PROXY_AT_ONCE = env.int("PROXY_AT_ONCE", default=12)
PROXY_AT_ONCE_TO_ONE = env.int("PROXY_AT_ONCE_TO_ONE", default=8)

SETUP_LINK_DAYS = 7
# Of one API key; beyond them 429.
API_CALLS_PER_MINUTE = env.int("API_CALLS_PER_MINUTE", default=6000)
AUTHORIZATION_MINUTES = 10

DEFAULT_EXCEPTION_REPORTER_FILTER = "console.logs.Discreet"
LOG_FORMAT = env.str("LOG_FORMAT", default="line")
if LOG_FORMAT not in ("line", "json"):
    raise SystemExit("LOG_FORMAT must be line or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {message}{context}", "style": "{"},
        "json": {"()": "console.logs.Json"},
    },
    "filters": {
        "route": {"()": "console.middleware.RouteInPlaceOfPath"},
        "context": {"()": "console.logs.Context"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["context"]}
    },
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # Django's own request lines carry full paths; console.request logs the route instead.
        "django.server": {"handlers": [], "propagate": False},
        "django.request": {"level": "ERROR", "filters": ["route"]},
        "django.security.csrf": {"filters": ["route"]},
    },
}
# The first two log tokens and client secrets at DEBUG, the third whole addresses as a warning, the last user
# names: whatever the root level says.
for _name in ("oauthlib", "requests_oauthlib", "urllib3", "asyncssh"):
    LOGGING["loggers"][_name] = {"level": "ERROR"}
