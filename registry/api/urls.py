from django.urls import path

from registry.api import environments, sketches, views

urlpatterns = [
    path("datasets", views.Datasets.as_view()),
    path("datasets/<str:name>", views.DatasetDetail.as_view()),
    path("datasets/<str:name>/versions", views.DatasetVersions.as_view()),
    path("datasets/<str:name>/versions/<int:n>", views.DatasetVersionDetail.as_view()),
    path("datasets/<str:name>/versions/<int:n>/sketch", sketches.Sketch.as_view()),
    path("datasets/<str:name>/versions/<int:n>/sketch/content", sketches.SketchContent.as_view()),
    path("models", views.Models.as_view()),
    path("models/<str:name>", views.ModelDetail.as_view()),
    path("models/<str:name>/versions", views.ModelVersions.as_view()),
    path("models/<str:name>/versions/<int:n>", views.ModelVersionDetail.as_view()),
    path("models/<str:name>/versions/<int:n>/environment", environments.Environment.as_view()),
    path("models/<str:name>/versions/<int:n>/sbom", environments.Sbom.as_view()),
    path("lineage", views.Lineage.as_view()),
    # Clients of OpenLineage append a slash; a redirect would turn their POST into a GET.
    path("lineage/", views.Lineage.as_view(schema=None)),
]
