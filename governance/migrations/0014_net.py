"""The net below the door: triggers on every governed table of registry and governance (audits.net).

A later migration that adds a governed table ends with the same operation, after its line in NETS.
"""

from django.db import migrations

from audits.net import install
from governance.net import NETS as GOVERNANCE
from registry.net import NETS as REGISTRY


def watch(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        install(cursor, [*REGISTRY, *GOVERNANCE])


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0009_findings"),
        ("registry", "0002_grants"),
        ("audits", "0005_net"),
    ]
    operations = [migrations.RunPython(watch, migrations.RunPython.noop)]
