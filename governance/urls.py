from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from governance import health
from governance.console.signoff import signoff

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:inbox")),
    path("favicon.ico", RedirectView.as_view(url="/static/console/crivo.svg", permanent=True)),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path(".well-known/jwks.json", health.jwks),
    path("api/v1/schema", SpectacularAPIView.as_view(permission_classes=[], authentication_classes=[])),
    path("api/v1/", include("governance.api.urls")),
    path("api/v1/", include("governance.api.gate")),
    path("api/v1/", include("governance.api.notices")),
    path("api/v1/", include("governance.api.policies")),
    path("api/v1/", include("governance.api.signoffs")),
    path("api/v1/", include("governance.api.lifecycle")),
    path("api/v1/", include("governance.api.as_of")),
    path("api/v1/", include("governance.api.evidence")),
    path("api/v1/", include("governance.api.places")),
    path("api/v1/", include("governance.api.explanations")),
    path("api/v1/", include("audits.api.reproductions")),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("audits.api.urls")),
    path("api/v1/", include("governance.api.findings")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("signoff/<str:link>", signoff, name="signoff"),
]
handler400 = "audits.api.problems.bad_request"
handler404 = "audits.api.problems.not_found"
handler500 = "audits.api.problems.server_error"
