"""Small things the console's templates say again and again."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """A symbol of the sprite in base.html; decoration only, the word stands beside it."""
    return format_html('<svg class="icon icon-{0}" aria-hidden="true"><use href="#icon-{0}"/></svg>', name)


@register.filter
def moment(value: datetime | None) -> str | SafeString:
    """A time to the minute, in UTC and said to be: the same for every reader of a trail."""
    if value is None:
        return ""
    at = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{} UTC</time>',
        at.isoformat(timespec="seconds"),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        f"{at:%Y-%m-%d %H:%M}",
    )


@register.filter
def age(value: datetime | None) -> str:
    """How long ago, in the largest unit only."""
    if value is None:
        return ""
    if (timezone.now() - value).total_seconds() < 60:
        return gettext("just now")
    return gettext("{duration} ago").format(duration=timesince(value, depth=1))


@register.filter
def short(digest: str) -> str | SafeString:
    """The beginning of a digest, with all of it at hand."""
    if not digest:
        return ""
    algorithm, separator, value = str(digest).partition(":")
    shown = f"{algorithm}{separator}{value[:12]}…" if len(value) > 12 else str(digest)
    return format_html('<code title="{}">{}</code>', digest, shown)
