"""The one settings file. Everything that differs between installations comes from the environment.

Without DATABASE_URL, the file `.crivo/env` that script/server writes is read; a variable X may also be given as a file
by X_FILE. docs/configuration.md lists every variable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
if "DATABASE_URL" not in os.environ:
    env.read_env(os.environ.get("CRIVO_ENV_FILE", str(BASE_DIR / ".crivo" / "env")))

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "only-for-debugging" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Start `script/server`, which makes one, or set SECRET_KEY (or SECRET_KEY_FILE)."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

DATA = Path(env.str("CRIVO_DATA", str(BASE_DIR / ".crivo")))

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, for its templates; its default config would replace our site
    "governance.console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "audits",
    "registry",
    "governance",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "governance.middleware.request_identity",
    "governance.middleware.content_security_policy",
    "governance.middleware.access_log",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "governance.urls"
WSGI_APPLICATION = "governance.wsgi.application"
APPEND_SLASH = False  # a redirect turns a POST into a GET
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Three doors to one database: `default` is the service (crivo_app, owns nothing), `notary` writes the tree
# (audits.roles), `migrator` changes the schema.
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url("DATABASE_URL"),
    "notary": env.db_url("DATABASE_NOTARY_URL", env.str("DATABASE_URL")),
    "migrator": env.db_url("DATABASE_MIGRATION_URL", env.str("DATABASE_URL")),
}
DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
DATABASES["migrator"]["OPTIONS"] = {
    **DATABASES["migrator"].get("OPTIONS", {}),
    "options": f"-c role={env.str('CRIVO_OWNER_ROLE', 'crivo_owner')}",
}
for _database in DATABASES.values():
    if not _database["ENGINE"].endswith("postgresql"):
        raise ImproperlyConfigured(
            "Crivo keeps its ledger in PostgreSQL: DATABASE_URL must begin with postgres://"
        )
    _database["TEST"] = {"NAME": "test_crivo", "MIGRATE": True}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "governance.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 1500
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A killed worker's task must come back soon, but never while a check may still run (checks.md, architecture.md).
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 1600, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    if CELERY_BROKER_URL.startswith(("redis", "valkey"))
    else {}
)
CELERY_BEAT_SCHEDULE = {
    "resend-waiting-checks": {"task": "audits.tasks.resend_waiting", "schedule": 10.0},
    "resend-waiting-sketches": {"task": "registry.tasks.resend_waiting", "schedule": 10.0},
    "settle-waiting-promotions": {"task": "governance.tasks.settle_waiting", "schedule": 10.0},
    "tidy": {"task": "audits.tasks.tidy", "schedule": 3600.0},
    "compare-rows": {"task": "audits.tasks.compare_rows", "schedule": 900.0, "options": {"expires": 900}},
    "sweep-webhooks": {"task": "audits.tasks.sweep_webhooks", "schedule": 2.0, "options": {"expires": 10}},
    "sweep-notices": {"task": "governance.tasks.sweep_notices", "schedule": 30.0, "options": {"expires": 60}},
    "send-digests": {"task": "governance.tasks.send_digests", "schedule": 600.0},
    "sweep-due-dates": {"task": "governance.tasks.sweep", "schedule": 15.0},
    "note-lapsed-roles": {"task": "governance.tasks.note_lapsed_roles", "schedule": 3600.0},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA / "celerybeat-schedule")
CELERY_TIMEZONE = "UTC"

# Crivo itself
CRIVO_KEYS = env.str("CRIVO_KEYS", str(DATA / "keys"))
CRIVO_KEY_PROVIDER = env.str("CRIVO_KEY_PROVIDER", "")  # dotted path (audits.held.KeyProvider): a KMS, an HSM
CRIVO_PUBLISH = env.str(
    "CRIVO_PUBLISH", str(DATA / "published")
)  # signed checkpoints, public keys: outside the database
CRIVO_ORIGIN = env.str("CRIVO_ORIGIN", "crivo.local/audit")  # name of this log in its checkpoints
CRIVO_BASE_URL = env.str("CRIVO_BASE_URL", "http://localhost:8000")
CRIVO_AUTHORISER = "governance.authority.Authority"
CRIVO_DIRECTORY = "governance.directory.People"
CRIVO_NETS = ["registry.net.NETS", "governance.net.NETS"]
CRIVO_NOTARY_RIGHTS = ["audits.roles.RIGHTS", "governance.net.NOTARY_RIGHTS"]
CRIVO_DECISION_LOG = ["audits.retention.VERBS", "registry.retention.VERBS", "governance.retention.VERBS"]
CRIVO_ALARMS = "governance.services.alarms.Alarms"
CRIVO_EVENT_TASKS = {
    "check_run.completed": ["governance.tasks.settle_after_check"],
    "check_run.cancelled": ["governance.tasks.settle_after_check"],
    "promotion.withdrawn": ["governance.tasks.cancel_unneeded"],
    "promotion.expired": ["governance.tasks.cancel_unneeded"],
    "promotion.refused": ["governance.tasks.cancel_unneeded"],
    "promotion.checked": ["governance.tasks.notify_reviewers"],
}
# Data zones: those that datasets may name, and the one this process is in (a worker's; docs/zones.md).
CRIVO_ZONES = env.list("CRIVO_ZONES", default=[])
CRIVO_ZONE = env.str("CRIVO_ZONE", "")
CRIVO_ZONE_PARTS = env.str("CRIVO_ZONE_PARTS", "")  # folder of the zone; empty: its checks are not divided
CRIVO_UPLOAD_CAP = env.int("CRIVO_UPLOAD_CAP", 2 * 1024**3)  # bytes
CRIVO_CHECK_SECONDS = env.int("CRIVO_CHECK_SECONDS", 600)
CRIVO_LEASE_SECONDS = env.int("CRIVO_LEASE_SECONDS", 30)  # how long a dead worker's check stays its own
# Rows from which a check that can be mapped is divided among workers (0: never), and rows of one part.
CRIVO_MAP_ROWS = env.int("CRIVO_MAP_ROWS", 2_000_000)
CRIVO_PART_ROWS = env.int("CRIVO_PART_ROWS", 500_000)
CRIVO_CHECK_MEMORY = env.int("CRIVO_CHECK_MEMORY", 4 * 1024**3)  # bytes

# Webhooks: where they may go beyond the public internet (audits.outbound).
CRIVO_WEBHOOK_ALLOW = env.list("CRIVO_WEBHOOK_ALLOW", default=[])  # networks, like 10.20.0.0/16
CRIVO_WEBHOOK_PORTS = env.list("CRIVO_WEBHOOK_PORTS", cast=int, default=[443, 8443])
CRIVO_WEBHOOK_HTTP = env.bool("CRIVO_WEBHOOK_HTTP", False)

# Artefacts and datasets by URI (audits.fetching): nothing of the installation's own network unless named here.
CRIVO_FETCH_ALLOW = env.list("CRIVO_FETCH_ALLOW", default=[])  # networks
CRIVO_FETCH_PORTS = env.list("CRIVO_FETCH_PORTS", cast=int, default=[443, 8443])
CRIVO_FETCH_HTTP = env.bool("CRIVO_FETCH_HTTP", False)
CRIVO_FETCH_SECONDS = env.int("CRIVO_FETCH_SECONDS", 300)
CRIVO_FILE_ROOTS = env.list("CRIVO_FILE_ROOTS", default=[])  # folders that file: URIs may lie in
CRIVO_S3_BUCKETS = env.list("CRIVO_S3_BUCKETS", default=[])
CRIVO_S3 = env.json("CRIVO_S3", {})  # key, secret, endpoint_url, region, anon

# E-mail: without EMAIL_URL none is written.
CRIVO_MAIL = bool(env.str("EMAIL_URL", ""))
for _name, _value in env.email_url("EMAIL_URL", "dummymail://").items():
    globals()[_name] = _value
DEFAULT_FROM_EMAIL = env.str("CRIVO_MAIL_FROM", "crivo@localhost")
EMAIL_TIMEOUT = 20
CRIVO_DIGEST_HOUR = env.int("CRIVO_DIGEST_HOUR", 7)  # UTC

# Requests in one minute: of one token or person, of the gate by one of them, of one address without a valid token.
# 0 switches a limit off.
CRIVO_RATES = {
    "principal": env.int("CRIVO_RATE_PRINCIPAL", 3000),
    "gate": env.int("CRIVO_RATE_GATE", 6000),
    "anonymous": env.int("CRIVO_RATE_ANONYMOUS", 120),
}
CRIVO_PROXIES = env.int("CRIVO_PROXIES", 0)  # trusted proxies in front, for the address in X-Forwarded-For

# The cache counts requests, nothing that must not be lost. Web processes share the broker's Redis, if it is one.
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if CELERY_BROKER_URL.startswith(("redis://", "rediss://", "redis+socket://")):
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1).replace(
            "virtual_host=", "db="
        ),
        "KEY_PREFIX": "crivo",
        "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
    }

STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA / "files"},
    },
    "blobs": {
        "BACKEND": env.str("CRIVO_BLOB_STORAGE", "django.core.files.storage.FileSystemStorage"),
        "OPTIONS": env.json("CRIVO_BLOB_OPTIONS", {"location": str(DATA / "blobs")}),
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024**2  # JSON bodies; files stream to disk
FILE_UPLOAD_HANDLERS = [
    "audits.api.uploads.CappedUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / ".crivo" / "collected"  # made from the checkout, so it lies in it
WHITENOISE_USE_FINDERS = True

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("pt-br", _("Brazilian Portuguese"))]
LOCALE_PATHS = [BASE_DIR / "templates" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("CRIVO_HTTPS", False)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["governance.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["governance.api.permissions.Authenticated"],
    "DEFAULT_PARSER_CLASSES": ["audits.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "audits.api.schema.Schema",
    "DEFAULT_THROTTLE_CLASSES": ["governance.api.throttling.PerMinute"],
    "EXCEPTION_HANDLER": "audits.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Crivo",
    "DESCRIPTION": "Governance and compliance registry for machine learning.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": "/"}],
    "ENUM_NAME_OVERRIDES": {
        "EventOutcomeEnum": "governance.api.as_of.EVENT_OUTCOMES",
        "MailModeEnum": "governance.models.notices.MailMode",
        "DeploymentModeEnum": "governance.states.DeploymentMode",
        "WebhookStateEnum": "audits.states.WebhookState",
        "DeliveryStateEnum": "audits.states.DeliveryState",
        "WebhookSwitchEnum": "audits.api.webhooks.SWITCH",
        "PromotionStateEnum": "governance.states.PromotionState",
        "PlacementStateEnum": "governance.states.PlacementState",
        "VersionStateEnum": "registry.states.VersionState",
        "SignoffRoleEnum": "governance.api.signoffs.ROLES",
        "TokenKindEnum": "governance.models.identity.ApiToken.Kind",
        "CheckRunStateEnum": "audits.states.CheckRunState",
    },
}

UNFOLD = {
    "SITE_TITLE": "Crivo",
    "SITE_HEADER": "Crivo",
    "SITE_SYMBOL": "filter_alt",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
}
