"""The rules of the house that no linter knows: one door, one event per change, no state moved behind its table."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver

from audits import messages, verbs
from audits.checks.catalogue import CATALOGUE
from audits.checks.messages import TEMPLATES
from audits.states import CHECK_RUN
from governance.roles import ACTIONS, ROLES
from governance.states import (
    ALARM,
    CONDITION,
    FINDING,
    GLASS,
    GRANDFATHERED,
    PLACEMENT,
    POLICY_CHANGE,
    PROMOTION,
    REVIEW,
    WAIVER,
)
from registry.states import VERSION

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("audits", "registry", "governance")
GOVERNED_STATE = {"state", "current", "revoked_at", "last_n"}
# Modules that may write: services, the ledger's own writers, and the token's note of its last use.
WRITERS = ("services/", "audits/ledger/", "audits/door.py")
EXEMPT = {
    ("governance/actors.py", "update"): "last_used_at of a token is bookkeeping, no governed change",
    (
        "governance/models/identity.py",
        "get_or_create",
    ): "the event of createsuperuser needs a workspace",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "/migrations/" not in name:
                yield name, ast.parse(path.read_text())


def _is_writer(name: str) -> bool:
    return any(part in name for part in WRITERS)


WRITES = {
    "update",
    "create",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
    "delete",
    "save",
}


def test_only_services_write() -> None:
    """No save(), create(), update() or delete() on a model outside services and the ledger."""
    found = set()
    for name, tree in modules():
        if _is_writer(name) or name.startswith(
            ("governance/client", "governance/embedded", "audits/confine")
        ):
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in WRITES
            ):
                value = ast.unparse(node.func.value)
                if "objects" in value or node.func.attr in ("save", "bulk_create", "bulk_update"):
                    found.add((name, node.func.attr))
    allowed = set(EXEMPT) | {("audits/blobs.py", "get_or_create"), ("audits/blobs.py", "save")}
    demo = {entry for entry in found if entry[0].startswith(("governance/demo", "governance/management"))}
    assert found - demo <= allowed, f"written outside a service: {sorted(found - demo - allowed)}"


def test_no_state_is_assigned_outside_services() -> None:
    found = []
    for name, tree in modules():
        if _is_writer(name):
            continue
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            found += [
                f"{name}:{node.lineno}"
                for target in targets
                if isinstance(target, ast.Attribute)
                and target.attr in GOVERNED_STATE
                and not (isinstance(target.value, ast.Name) and target.value.id == "self")
            ]
    assert not found


def services() -> Iterator[tuple[str, object]]:
    for package in PACKAGES:
        parent = import_module(f"{package}.services")
        for info in pkgutil.iter_modules(parent.__path__):
            module = import_module(f"{package}.services.{info.name}")
            for name, member in vars(module).items():
                if hasattr(member, "verb") and member.__module__ == module.__name__:
                    yield f"{module.__name__}.{name}", member


def test_every_service_names_a_registered_verb_and_takes_its_command_by_keyword() -> None:
    names = dict(services())
    assert len(names) >= 15, sorted(names)
    for name, member in names.items():
        verbs.assert_known(member.verb)  # type: ignore[attr-defined]
        parameters = inspect.signature(inspect.unwrap(member)).parameters.values()  # type: ignore[arg-type]
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters), name
        assert "command" in {parameter.name for parameter in parameters}, name


def test_no_signals() -> None:
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("django.db.models.signals"), name
                assert (node.module or "") != "django.dispatch", name


def _recorded_verbs() -> set[str]:
    found = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= {
                    keyword.value.value
                    for keyword in node.keywords
                    if keyword.arg == "verb" and isinstance(keyword.value, ast.Constant)
                }
                if isinstance(node.func, ast.Name) and node.func.id == "service" and node.args:
                    argument = node.args[0]
                    assert isinstance(argument, ast.Constant)
                    found.add(argument.value)
    return {verb for verb in found if isinstance(verb, str)}


def test_every_verb_in_the_code_has_a_sentence_and_every_sentence_a_verb() -> None:
    assert _recorded_verbs() == set(verbs.all_verbs())
    for verb in verbs.all_verbs():
        assert verb == verb.lower()
        assert "." in verb
        assert verbs.sentence(verb, "Ana", "x@1")


def _raised_codes() -> set[str]:
    """First arguments of our problems and messages that are literals."""
    problems = {
        "Forbidden", "Conflict", "Unprocessable", "BadRequest", "NotFound", "TooLarge", "LedgerUnavailable", "Message",
        "failed_result", "TokenRejected", "stepped",
    }  # fmt: skip
    found = set()
    for name, tree in modules():
        if name.startswith(("audits/checks", "governance/client", "governance/embedded")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called in problems and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found


def test_every_code_has_a_sentence() -> None:
    unknown = sorted(code for code in _raised_codes() if not messages.known(code))
    assert not unknown
    assert all(messages.known(code) for code in TEMPLATES)


@pytest.mark.parametrize(
    "table",
    [
        CHECK_RUN,
        VERSION,
        PROMOTION,
        PLACEMENT,
        GRANDFATHERED,
        POLICY_CHANGE,
        FINDING,
        WAIVER,
        CONDITION,
        REVIEW,
        GLASS,
        ALARM,
    ],
)
def test_state_tables_are_complete_and_reachable(table: dict[str, frozenset[str]]) -> None:
    states = set(type(next(iter(table))))  # type: ignore[call-overload]
    assert set(table) == states
    first = next(iter(table))
    reached, front = {first}, [first]
    while front:
        for state in table[front.pop()] - reached:
            reached.add(state)
            front.append(state)
    assert reached == states


def test_roles_permit_only_actions_that_exist() -> None:
    for role in ROLES.values():
        assert role.actions <= ACTIONS, role.slug
    deciding = {role.slug for role in ROLES.values() if "promotion.decide" in role.actions}
    assert deciding == {role.slug for role in ROLES.values() if role.decides}


def test_every_action_asked_for_exists() -> None:
    asked = set()
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
                "require",
                "may",
            ):
                asked |= {
                    argument.value
                    for argument in node.args[1:2]
                    if isinstance(argument, ast.Constant) and name != "audits/door.py"
                }
    assert asked <= ACTIONS, asked - ACTIONS
    assert len(asked) >= 10


@pytest.mark.django_db
def test_the_service_owns_nothing_and_deletes_nothing_governed() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, pg_has_role(current_user, 'crivo_owner', 'MEMBER')")
        assert cursor.fetchone() == ("crivo_app", False)
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'crivo_app'"
        )
        assert cursor.fetchall() == []
        cursor.execute(
            "SELECT table_name FROM information_schema.role_table_grants "
            "WHERE grantee = 'crivo_app' AND privilege_type IN ('DELETE', 'TRUNCATE')"
        )
        deletable = {row[0] for row in cursor.fetchall()}
    assert deletable == {
        "audits_idempotency",
        "audits_personal_key",  # erasing a person
        "audits_search_text",
        "auth_group",
        "auth_group_permissions",
        "django_session",
        "governance_user_groups",
        "governance_user_user_permissions",
    }


@pytest.mark.django_db
def test_every_table_can_be_read_by_the_service() -> None:
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT 1 FROM "{model._meta.db_table}" LIMIT 0')


@pytest.mark.django_db
def test_every_governed_row_has_a_workspace() -> None:
    from registry.models.base import Governed

    for model in apps.get_models():
        if issubclass(model, Governed):
            assert not model._meta.get_field("workspace").null, model


def _views(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, object]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _views(entry, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


# Deliberately open to anybody, without a token.
PUBLIC = {"api/v1/schema", "api/v1/attestations/revoked"}


def test_every_address_of_the_api_asks_for_a_token_but_those_listed() -> None:
    seen = 0
    for path, callback in _views(get_resolver()):
        if path.startswith("api/v1/"):
            view = callback.view_class  # type: ignore[attr-defined]
            initial = getattr(callback, "initkwargs", {})
            permissions = initial.get("permission_classes", view.permission_classes)
            assert bool(permissions) == (path not in PUBLIC), path
            seen += 1
    assert seen >= 20


def test_the_catalogue_names_functions_that_exist() -> None:
    for definition in CATALOGUE.values():
        module, _, function = definition.function.partition(":")
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        name: len((ROOT / name).read_text().splitlines())
        for name, _ in modules()
        if len((ROOT / name).read_text().splitlines()) > 500
    }
    # The verifier is one file so that a stranger can read and run it alone.
    assert set(long) <= {"audits/verifier.py"}, long
