"""The Celery application: `celery -A governance worker`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
app = Celery("crivo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
