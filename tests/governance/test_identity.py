from __future__ import annotations

import pytest
from django.test import Client

from audits.models import Event
from governance import tokens
from governance.actors import TokenRejected, authenticate
from tests.cast import Cast


def test_a_token_is_kept_only_as_a_hash(cast: Cast) -> None:
    parsed = tokens.parse(cast.pipeline_text)
    assert parsed is not None
    assert cast.pipeline_token.secret_hash == tokens.hash_of(parsed[1])
    assert parsed[1] not in str(cast.pipeline_token.__dict__)
    assert authenticate(cast.pipeline_text) == cast.pipeline_token


def test_one_wrong_letter_is_rejected(cast: Cast) -> None:
    for position in range(4, len(cast.pipeline_text)):
        letter = "a" if cast.pipeline_text[position] != "a" else "b"
        changed = cast.pipeline_text[:position] + letter + cast.pipeline_text[position + 1 :]
        with pytest.raises(TokenRejected, match="token_unknown"):
            authenticate(changed)


def test_who_am_i(cast: Cast, client: Client) -> None:
    answer = client.get("/api/v1/me", headers=cast.headers("pipeline"))
    assert answer.status_code == 200, answer.content
    assert answer.json()["roles"] == ["pipeline"]
    assert answer.json()["kind"] == "token"


def test_every_role_given_left_its_event(cast: Cast) -> None:
    assert Event.objects.filter(verb="role.bound").count() == 8
    assert Event.objects.filter(verb="token.issued").count() == 1
