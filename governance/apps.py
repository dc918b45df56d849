from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        from audits import messages, verbs
        from governance.sentences import SENTENCES, VERBS

        messages.register(SENTENCES)
        verbs.register(VERBS)
