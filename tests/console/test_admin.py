"""Operators' tables: to look at, for superusers, without secrets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from audits.admin import ReadOnlyAdmin
from audits.ids import uuid7
from governance.models import Promotion, RoleBinding, SignoffInvitation, User
from governance.services import access
from governance.services.aliases import set_alias
from governance.services.brownfield import Row, import_running
from governance.services.deployments import record_deployment
from governance.services.policy_changes import propose_policy
from governance.services.reconciliations import reconcile
from governance.services.retirements import retire_version
from governance.services.suspensions import suspend_version
from tests import scenario
from tests.cast import Cast
from tests.governance.watched import watched

NAMES = {
    "audits": {"workspace", "event", "checkpoint", "checkrun"},
    "registry": {"dataset", "datasetversion", "model", "modelversion"},
    "governance": {
        "user", "apitoken", "rolebinding", "usecase", "environment", "policyversion", "promotion", "decision",
        "placement", "suspension", "retirement", "alias", "deployment", "policychange", "finding", "waiver",
        "condition", "placementreview", "brokenglass", "alarm", "externalevidence", "group", "groupmembership",
        "rolerecertification", "signoffinvitation", "grandfathered", "reconciliation", "usecaseversion",
    },
}  # fmt: skip
SECRET = re.compile(r"salt|secret|hash|password|mac\b|envelope")
LAX = "script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def everything(cast: Cast) -> Promotion:
    """A row of every table."""
    promotion = scenario.awaiting_production(cast)
    scenario.word(cast, "bruno", promotion)
    text = promotion.policy.text.replace("approvals: [", "approvals: [{role: validator, count: 1}, ", 1)
    propose_policy(command=cast.command("rita"), text=text, reason="one more")
    scenario.publish()
    version, rita = promotion.version, cast.command("rita")
    set_alias(command=rita, model=version.model.name, alias="champion", n=version.n)
    record_deployment(
        command=cast.command("bia"),
        model=version.model.name,
        n=version.n,
        environment="homologation",
        mode="live",
    )
    watched(cast, version, promotion)
    shell = Command(system_actor("shell", cast.workspace.id))
    group = access.create_group(command=shell, name="board").value
    access.add_member(command=shell, group=group, person=cast.people["bruno"])
    bound = RoleBinding.objects.get(person=cast.people["bia"])
    access.recertify_role(command=shell, binding=bound, reason="r")
    SignoffInvitation.objects.create(
        workspace=cast.workspace, promotion=promotion, role="customer", public_id="p" * 16, secret_hash="0" * 64,
        invited_by=cast.people["bia"].id, event_id=uuid7(), expires_at=datetime.now(UTC) + timedelta(days=1),
    )  # fmt: skip
    row = Row(model="old", digest=f"sha256:{'1' * 64}", environment="production")
    import_running(command=rita, rows=[row])
    reconcile(command=rita, running=[row])
    suspend_version(command=rita, version_id=version.id, reason="a row of every table")
    retire_version(command=rita, version_id=version.id, reason="a row of every table")
    return promotion


def test_exactly_these_tables_and_all_of_one_kind() -> None:
    registered = {(model._meta.app_label, model._meta.model_name) for model in admin.site._registry}
    assert registered == {(app, name) for app, names in NAMES.items() for name in names}
    for model_admin in admin.site._registry.values():
        assert isinstance(model_admin, ReadOnlyAdmin)
        shown = {*model_admin.fields, *map(str, model_admin.list_display), *model_admin.search_fields}
        assert not [name for name in shown if SECRET.search(name)], model_admin


def test_superusers_look_and_nobody_changes(root: Client, everything: Promotion) -> None:
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listing = reverse(f"{base}_changelist")
        row = model._default_manager.first()
        assert row is not None, f"the scenario has no {model}"
        page = reverse(f"{base}_change", args=[row.pk])
        assert root.get(listing).status_code == 200, listing
        assert root.get(listing, {"q": "diabetes"}).status_code == 200, listing
        response = root.get(page)
        assert response.status_code == 200, page
        assert LAX in response["Content-Security-Policy"]
        html = response.content.decode()
        assert not re.search(
            r"<script(?![^>]*\bsrc=)(?![^>]*type=\"(application/json|text/template)\")", html
        )
        for path in (reverse(f"{base}_add"), page, reverse(f"{base}_delete", args=[row.pk])):
            assert root.post(path, {"name": "changed", "state": "granted"}).status_code == 403, path
        answer = root.post(listing, {"action": "delete_selected", "_selected_action": [str(row.pk)]})
        assert answer.status_code in (200, 302, 403)
        assert model._default_manager.filter(pk=row.pk).exists()


def test_staff_with_every_django_permission_still_sees_no_table(cast: Cast, everything: Promotion) -> None:
    from django.contrib.auth.models import Permission

    bruno = cast.people["bruno"]
    bruno.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(bruno)
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{base}_changelist")).status_code == 403
        row = model._default_manager.first()
        assert row is not None
        assert client.get(reverse(f"{base}_change", args=[row.pk])).status_code == 403


def test_no_secret_is_on_a_page(cast: Cast, root: Client, everything: Promotion) -> None:
    token = cast.pipeline_token
    html = root.get(reverse("admin:governance_apitoken_change", args=[token.pk])).content.decode()
    assert token.public_id in html
    assert token.secret_hash not in html
    html = root.get(reverse("admin:audits_workspace_change", args=[cast.workspace.pk])).content.decode()
    assert cast.workspace.salt not in html


def test_superusers_start_at_the_tables_with_the_inbox_beside_them(root: Client) -> None:
    html = root.get(reverse("admin:index")).content.decode()
    for name in ("inbox", "trail", "roles", "governance_promotion_changelist"):
        assert f'href="{reverse(f"admin:{name}")}"' in html
