from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        import governance.api.openapi
        import governance.celery  # noqa: F401 - the web process sends tasks, too
        from audits import messages, verbs
        from governance.sentences import SENTENCES, VERBS
        from governance.sentences.labels import LABELS

        messages.register(SENTENCES)
        verbs.register(VERBS)
        verbs.register_labels(LABELS)
