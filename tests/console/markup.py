"""Look at a page as a strict Content-Security-Policy does, and as somebody who reads it."""

from __future__ import annotations

from html.parser import HTMLParser

from django.http import HttpResponse

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'"
)


class Page(HTMLParser):
    """The text and the elements of a page, with everything in it that a strict policy would block."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocked: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in ("style", "script", "iframe", "object", "embed", "base"):
            self.blocked.append(f"<{tag}>")
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "x-", "@", ":")):
                self.blocked.append(f"{tag} {name}")
            if name in ("href", "src", "action") and (value or "").strip().lower().startswith(
                ("javascript:", "data:", "http:", "https:", "//")
            ):
                self.blocked.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def links(self) -> list[str]:
        return [attributes.get("href") or "" for tag, attributes in self.elements if tag == "a"]

    def forms(self) -> list[str]:
        return [attributes.get("action") or "" for tag, attributes in self.elements if tag == "form"]

    def value_of(self, name: str) -> str:
        for tag, attributes in self.elements:
            if tag in ("input", "textarea") and attributes.get("name") == name:
                return attributes.get("value") or ""
        raise AssertionError(f"no field {name}")


def read(response: HttpResponse) -> Page:
    """The page, after checking that the strict policy is on and nothing in it would be blocked."""
    assert response["Content-Security-Policy"] == STRICT
    page = Page(response.content.decode())
    assert page.blocked == []
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    return page
