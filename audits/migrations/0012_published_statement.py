"""When a checkpoint was published is signed, too: a permission is effective from then on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audits", "0011_zones")]
    operations = [
        migrations.AddField("checkpoint", "statement", models.TextField(db_default="")),
        migrations.AddField("earliercheckpoint", "statement", models.TextField(db_default="")),
    ]
