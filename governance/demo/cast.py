"""The people of the demonstration and what they log in with. Made through services, again without effect.

Ana is a data scientist, and a validator of other people's models. Bruno validates, Bia approves, Clara audits, Rita
writes policies, Davi belongs to another workspace. The training pipeline's token names Ana as answering for it.
Passwords and tokens are random for each installation and stand in two files that only its owner can read.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from audits.actors import Command, system_actor
from audits.models import Workspace
from governance.actors import DEFAULT_WORKSPACE, TokenRejected, authenticate
from governance.models import ApiToken, User
from governance.roles import SCOPES
from governance.services.bootstrap import bootstrap
from governance.services.identity import Issued, bind_role, issue_token
from governance.services.people import create_person
from governance.services.policies import apply_policy

ELSEWHERE = "elsewhere"
ADMINISTRATOR = "admin"
ROLES: dict[str, tuple[str, ...]] = {
    "ana": ("data_scientist", "validator"),
    "bruno": ("validator",),
    "bia": ("approver",),
    "clara": ("auditor",),
    "rita": ("risk_manager",),
    "davi": ("data_scientist", "auditor"),
}
OUTSIDERS = frozenset({"davi"})
BUILD = ("registry:read", "registry:write", "lineage:write", "promotion:request", "gate:read")
DECIDE = ("registry:read", "gate:read", "promotion:decide")
AUDIT = ("registry:read", "gate:read", "audit:read", "audit:export")
TOKENS: dict[str, tuple[str, ...]] = {
    "ana": (*BUILD, "promotion:decide"),
    "bruno": DECIDE,
    "bia": DECIDE,
    "clara": AUDIT,
    "davi": tuple(scope for scope in SCOPES if scope != "admin"),
}
PIPELINE = "training pipeline"
LIFETIME = timedelta(days=90)
POLICIES = Path(__file__).resolve().parent / "policies"
LOGINS_FILE = "demo-logins.json"
SESSION_FILE = "demo-session.json"


@dataclass(frozen=True)
class Demonstration:
    """`logins`: user name → password. `tokens`: pipeline and user names → the text of a token."""

    logins: dict[str, str]
    tokens: dict[str, str]


def load(folder: Path) -> Demonstration:
    """Everything the demonstration starts from. What is there already is kept: passwords and working tokens, too."""
    logins = _load_people(folder / LOGINS_FILE)
    home = bootstrap(DEFAULT_WORKSPACE, User.objects.get(username=ADMINISTRATOR)).value
    elsewhere = bootstrap(ELSEWHERE, None).value
    for name, roles in ROLES.items():
        workspace = elsewhere if name in OUTSIDERS else home
        for role in roles:
            bind_role(command=_shell(workspace), role=role, person=User.objects.get(username=name))
    for path in sorted(POLICIES.glob("*.yaml")):
        apply_policy(command=_shell(home), text=path.read_text(encoding="utf-8"))
    tokens = _load_tokens(folder / SESSION_FILE, home, elsewhere)
    write_private(folder / SESSION_FILE, {"tokens": tokens, "logins": logins})
    return Demonstration(logins, tokens)


def _shell(workspace: Workspace) -> Command:
    return Command(system_actor("shell", workspace.id))


def _load_people(path: Path) -> dict[str, str]:
    """Every person exists and can log in with what the file says: a lost file, or a new person, gets new passwords."""
    known = {name: text for name, text in read(path).items() if isinstance(text, str)}
    shell = _shell(bootstrap(DEFAULT_WORKSPACE, None).value)
    logins: dict[str, str] = {}
    for name in (ADMINISTRATOR, *ROLES):
        user = User.objects.filter(username=name).first()
        if user is None:
            user = create_person(
                command=shell, username=name, first_name=name.capitalize(), superuser=name == ADMINISTRATOR
            ).value
        password = known.get(name) or secrets.token_hex(8)  # letters and digits: copied by a double click
        if not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        logins[name] = password
    write_private(path, logins)
    return logins


def _load_tokens(path: Path, home: Workspace, elsewhere: Workspace) -> dict[str, str]:
    known = read(path).get("tokens")
    kept = {
        name: text
        for name, text in (known.items() if isinstance(known, dict) else ())
        if isinstance(text, str) and _works(text)
    }
    tokens = {"pipeline": kept.get("pipeline") or _pipeline_token(home)}
    for name, scopes in TOKENS.items():
        workspace = elsewhere if name in OUTSIDERS else home
        tokens[name] = (
            kept.get(name)
            or _token(workspace, name, f"{name} (demonstration)", ApiToken.Kind.PERSONAL, scopes)[0]
        )
    return tokens


def _works(text: str) -> bool:
    try:
        authenticate(text)
    except TokenRejected:
        return False
    return True


def _token(
    workspace: Workspace, person: str, name: str, kind: str, scopes: tuple[str, ...]
) -> tuple[str, ApiToken]:
    issued = Issued()
    token = issue_token(
        command=_shell(workspace),
        person=User.objects.get(username=person),
        name=name,
        kind=kind,
        scopes=scopes,
        lifetime=LIFETIME,
        issued=issued,
    ).value
    return issued.text, token


def _pipeline_token(workspace: Workspace) -> str:
    text, token = _token(workspace, "ana", PIPELINE, ApiToken.Kind.SERVICE, BUILD)
    bind_role(command=_shell(workspace), role="pipeline", token=token)
    return text


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none, or a torn one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_private(path: Path, data: Mapping[str, Any]) -> None:
    """Readable by its owner only, from its first moment on; complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    os.replace(temporary, path)
