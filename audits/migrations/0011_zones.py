"""Checks and explanations on data of a zone: which workers may take them, and where the data lies there."""

from django.db import migrations, models

FIELDS = (
    ("zone", lambda: models.CharField(max_length=60, null=True)),
    ("sources", lambda: models.JSONField(null=True)),
)

# Where work runs is decided when it is asked for: nobody moves it to workers of another zone afterwards.
def guard(table, question):
    return f"""
CREATE FUNCTION {table}_zone_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF ROW(NEW.zone, NEW.sources, NEW.{question}) IS DISTINCT FROM ROW(OLD.zone, OLD.sources, OLD.{question}) THEN
    RAISE EXCEPTION 'the question of a row of % and its data zone never change', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER zone_stays BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_zone_stays();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER zone_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("audits", "0010_pruning")]
    operations = [
        *(
            migrations.AddField(model_name=model, name=name, field=field())
            for model in ("checkrun", "explanation")
            for name, field in FIELDS
        ),
        migrations.RunSQL(guard("audits_check_run", "input"), migrations.RunSQL.noop),
        migrations.RunSQL(guard("audits_explanation", "question"), migrations.RunSQL.noop),
    ]
