from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"

    def ready(self) -> None:
        from audits import messages, verbs
        from registry.sentences import SENTENCES, VERBS

        messages.register(SENTENCES)
        verbs.register(VERBS)
