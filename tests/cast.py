"""The fixed cast, made through services: nothing here goes past the door.

Ana is a data scientist, and validator of other people's models. Bruno validates, Bia approves, Clara audits, Davi
belongs to another workspace, Rita writes policies. The pipeline's token names Ana as the person answering for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from audits.actors import Actor, Command, system_actor
from audits.models import Workspace
from governance.actors import actor_of_person, actor_of_token
from governance.models import ApiToken, User
from governance.roles import SCOPES
from governance.services.bootstrap import bootstrap
from governance.services.identity import Issued, bind_role, issue_token

PASSWORD = "passar-pelo-crivo"
ROLES = {
    "ana": ["data_scientist", "validator"],
    "bruno": ["validator"],
    "bia": ["approver"],
    "clara": ["auditor"],
    "rita": ["risk_manager"],
    "davi": ["data_scientist"],
}
PIPELINE_SCOPES = ["registry:read", "registry:write", "lineage:write", "promotion:request", "gate:read"]
PIPELINE_SCOPES += ["reconciliation:write", "explanation:write"]


@dataclass
class Cast:
    workspace: Workspace
    elsewhere: Workspace
    people: dict[str, User]
    pipeline_token: ApiToken
    pipeline_text: str
    texts: dict[str, str] = field(default_factory=dict)

    def actor(self, name: str) -> Actor:
        if name == "pipeline":
            return actor_of_token(self.pipeline_token)
        return actor_of_person(self.people[name], self.elsewhere if name == "davi" else self.workspace)

    def command(self, name: str) -> Command:
        return Command(self.actor(name))

    def token(self, name: str) -> str:
        """The text of a personal token with every scope; made when first asked for."""
        if name == "pipeline":
            return self.pipeline_text
        if name not in self.texts:
            issued = Issued()
            workspace = self.elsewhere if name == "davi" else self.workspace
            issue_token(
                command=Command(system_actor("shell", workspace.id)),
                person=self.people[name],
                name=f"{name}'s token",
                kind=ApiToken.Kind.PERSONAL,
                scopes=list(SCOPES),
                lifetime=timedelta(days=1),
                issued=issued,
            )
            self.texts[name] = issued.text
        return self.texts[name]

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(name)}"}


def make_cast() -> Cast:
    workspace = bootstrap("default", None).value
    elsewhere = bootstrap("elsewhere", None).value
    shell = Command(system_actor("shell", workspace.id))
    people = {
        name: User.objects.create_user(
            username=name, password=None, first_name=name.capitalize(), is_staff=True
        )
        for name in ROLES
    }
    for name, roles in ROLES.items():
        command = Command(system_actor("shell", elsewhere.id)) if name == "davi" else shell
        for role in roles:
            bind_role(command=command, role=role, person=people[name])
    issued = Issued()
    token = issue_token(
        command=shell,
        person=people["ana"],
        name="training pipeline",
        kind=ApiToken.Kind.SERVICE,
        scopes=PIPELINE_SCOPES,
        lifetime=timedelta(days=1),
        issued=issued,
    ).value
    bind_role(command=shell, role="pipeline", token=token)
    return Cast(workspace, elsewhere, people, token, issued.text)
