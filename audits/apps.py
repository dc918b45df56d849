from django.apps import AppConfig


class AuditsConfig(AppConfig):
    name = "audits"
    verbose_name = "Audits"

    def ready(self) -> None:
        from audits import messages, verbs
        from audits.sentences import SENTENCES, VERBS

        messages.register(SENTENCES)
        verbs.register(VERBS)
