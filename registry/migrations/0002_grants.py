"""The service may add and change rows of the registry; nobody deletes one."""

from django.db import migrations

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON registry_dataset, registry_model, registry_model_version, registry_lineage_edge
  TO crivo_app;
GRANT SELECT, INSERT ON registry_dataset_version, registry_model_version_training, registry_lineage_event,
  registry_lineage_node TO crivo_app;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial"), ("audits", "0002_append_only")]
    operations = [migrations.RunSQL(GRANTS, migrations.RunSQL.noop)]
