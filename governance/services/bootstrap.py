"""What a new workspace starts with: environments, first policies, its first administrator."""

from __future__ import annotations

from pathlib import Path

from audits.actors import Command, system_actor
from audits.canonical import digest_of
from audits.door import Result, service
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance.models import Environment, User
from governance.services.access import _bind
from governance.services.policies import _apply

ENVIRONMENTS = (("development", False), ("test", False), ("homologation", False), ("production", True))
POLICIES = Path(__file__).resolve().parent.parent / "policies"


def bootstrap(name: str, administrator: User | None) -> Result[Workspace]:
    """Make the workspace `name` if it is not there, and seed it once. Doing it again changes nothing."""
    workspace, _ = Workspace.objects.get_or_create(name=name)
    return bootstrap_workspace(
        command=Command(system_actor("shell", workspace.id)), workspace=workspace, administrator=administrator
    )


@service("workspace.bootstrapped")
def bootstrap_workspace(
    *, command: Command, workspace: Workspace, administrator: User | None
) -> Result[Workspace]:
    lock(workspace.id, workspace.ref)
    if not Environment.objects.filter(workspace=workspace).exists():
        for position, (environment, exclusive) in enumerate(ENVIRONMENTS):
            Environment.objects.create(
                workspace=workspace, name=environment, position=position, exclusive=exclusive
            )
        applied = [
            _apply(command, workspace, path.read_text())[0] for path in sorted(POLICIES.glob("*.yaml"))
        ]
        record(
            command,
            verb="workspace.bootstrapped",
            subject=workspace.ref,
            after=digest_of(
                {"environments": ENVIRONMENTS, "policies": [policy.digest for policy in applied]}
            ),
        )
    if administrator is not None:
        _bind(command, workspace, "administrator", administrator, None)
    return Result(workspace, created=False)
