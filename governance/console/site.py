"""The admin site: unfold's shell for operators' read-only tables, and our own pages for everybody else."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """Staff only, like every admin site. Who may do what on a page is asked of roles, never of Django's permissions."""

    site_title = site_header = "Crivo"
    index_title = _("Registry")
    site_url = "/"

    def extra_urls(self) -> list[URLPattern]:
        from governance.console import (  # models are not ready when the site is made
            access_forms,
            as_of,
            environments,
            explanations,
            findings,
            people_page,
            policies,
            preferences,
            privacy,
            standing,
            trail_exports,
            use_case_forms,
            views,
            webhooks,
            who_could,
        )

        return [
            path("inbox", self.admin_view(views.inbox), name="inbox"),
            path("inbox/workspace", self.admin_view(views.workspace), name="workspace"),
            path("promotions/<uuid:promotion_id>", self.admin_view(views.promotion), name="promotion"),
            path("promotions/<uuid:promotion_id>/decide", self.admin_view(views.decide), name="decide"),
            path("roles", self.admin_view(views.roles), name="roles"),
            path("roles/who-could", self.admin_view(who_could.who), name="who-could"),
            path("roles/<uuid:binding_id>/recertify", self.admin_view(who_could.recertify), name="recertify"),
            path("roles/people", self.admin_view(people_page.people), name="people"),
            path("trail", self.admin_view(views.trail), name="trail"),
            path("preferences", self.admin_view(preferences.preferences), name="preferences"),
            path("webhooks", self.admin_view(webhooks.webhooks), name="webhooks"),
            path("webhooks/<uuid:webhook_id>", self.admin_view(webhooks.act), name="webhook"),
            *policies.urls(self.admin_view),
            *as_of.urls(self.admin_view),
            *trail_exports.urls(self.admin_view),
            *standing.urls(self.admin_view),
            *use_case_forms.urls(self.admin_view),
            *access_forms.urls(self.admin_view),
            *privacy.urls(self.admin_view),
            *explanations.urls(self.admin_view),
            *environments.urls(self.admin_view),
            path("findings", self.admin_view(findings.overview), name="findings"),
            path("findings/<str:kind>/<uuid:row_id>/<str:slug>", self.admin_view(findings.act), name="watch"),
            path(
                "promotions/<uuid:promotion_id>/findings",
                self.admin_view(findings.open_finding),
                name="open_finding",
            ),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The tables are for superusers; everybody else has work waiting in the inbox."""
        if not request.user.is_superuser:
            return HttpResponseRedirect(reverse("admin:inbox"))
        answer: HttpResponse = super().index(request, extra_context)
        return answer

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Our pages first, then a group of tables for each app."""
        ours = [
            self._item(request, title, reverse(f"admin:{name}"), icon)
            for title, icon, name in (
                (_("Inbox"), "inbox", "inbox"),
                (_("Trail"), "history", "trail"),
                (_("Roles"), "badge", "roles"),
                (_("Preferences"), "settings", "preferences"),
                (_("Policies"), "policy", "policies"),
                (_("Findings"), "report", "findings"),
                (_("Use cases"), "fact_check", "use-cases"),
            )
        ]
        tables = [
            {
                "title": app["name"],
                "separator": True,
                "items": [
                    self._item(request, model["name"], model["admin_url"])
                    for model in app["models"]
                    if model["admin_url"]
                ],
            }
            for app in self.get_app_list(request)
        ]
        return [{"title": _("Review"), "items": ours}, *tables]

    def _item(self, request: HttpRequest, title: Any, link: str, icon: str = "table_rows") -> dict[str, Any]:
        active = request.path.startswith(link)
        return {"title": title, "icon": icon, "link": link, "has_permission": True, "active": active}
