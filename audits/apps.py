from django.apps import AppConfig, apps


class AuditsConfig(AppConfig):
    name = "audits"
    verbose_name = "Audits"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from audits import messages, roles, verbs
        from audits.sentences import SENTENCES, VERBS

        messages.register(SENTENCES)
        verbs.register(VERBS)
        # The last of the three packages: its tables are there when its signal comes.
        post_migrate.connect(roles.follow_migrations, sender=apps.get_app_config("governance"))
