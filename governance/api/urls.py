from django.urls import include, path

from governance.api import access, people, privacy, use_cases, views, who_could

urlpatterns = [
    path("me", views.Me.as_view()),
    path("models/<str:name>/versions/<int:n>/promotions", views.VersionPromotions.as_view()),
    path("promotions", views.Promotions.as_view()),
    path("promotions/<uuid:promotion_id>", views.PromotionDetail.as_view()),
    path("promotions/<uuid:promotion_id>/decisions", views.Decisions.as_view()),
    path("promotions/<uuid:promotion_id>/withdrawal", views.Withdrawals.as_view()),
    path("promotions/<uuid:promotion_id>/attestation", views.AttestationDetail.as_view()),
    path("promotions/<uuid:promotion_id>/receipt", views.ReceiptDetail.as_view()),
    path("", include(use_cases.urlpatterns)),
    path("", include(access.urlpatterns)),
    path("", include(people.urlpatterns)),
    path("", include(privacy.urlpatterns)),
    path("", include(who_could.urlpatterns)),
]
