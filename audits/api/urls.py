from django.urls import include, path

from audits.api import views

urlpatterns = [
    path("audit/events", views.Events.as_view()),
    path("audit/exports", views.Exports.as_view()),
    path("audit/exports/<uuid:export_id>", views.ExportDetail.as_view()),
    path("audit/exports/<uuid:export_id>/content", views.ExportContent.as_view()),
    path("audit/checkpoint", views.CheckpointDetail.as_view()),
    path("audit/vkey", views.VerifierKeyDetail.as_view()),
    path("audit/proof/<uuid:event_id>", views.Proof.as_view()),
    path("check-runs/<uuid:run_id>", views.CheckRunDetail.as_view()),
    path("", include("audits.api.check_runs")),
    path("", include("audits.api.webhooks")),
]
