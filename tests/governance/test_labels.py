"""Labels that hold words are recorded in English and said in the reader's language; names are never touched."""

from __future__ import annotations

import pytest
from django.utils import translation

from audits import verbs
from governance.console.review import about
from governance.console.wording import to_the_minute

LABELS = {
    "credit@2 in production": "credit@2 em production",
    "credit@2 in production (ab)": "credit@2 em production (teste A/B)",
    "high on credit@2": "alto em credit@2",
    "bias.group_disparity demographic_parity_ratio sex of credit@2 in production": (
        "bias.group_disparity demographic_parity_ratio sex de credit@2 em production"
    ),
    "condition 2 on credit@2 → production": "condição 2 de credit@2 → production",
    "re-review of credit@2 in production": "reavaliação de credit@2 em production",
    "broken glass: credit@2 in production": "quebra de vidro: credit@2 em production",
    "the log of default": "o registro de default",
}


@pytest.mark.parametrize("label", LABELS)
def test_words_are_the_readers(label: str) -> None:
    with translation.override("pt-br"):
        assert verbs.spoken(label) == LABELS[label]
        assert verbs.sentence("promotion.granted", "Bia", label).endswith(LABELS[label])
    with translation.override("en"):
        assert verbs.spoken(label) == label.replace("(ab)", "(A/B test)")


@pytest.mark.parametrize(
    "label",
    ["credit@2", "credit@2 → production", "quality · patients@1", "", "a name in two words in it {x}"],
)
def test_what_holds_no_word_of_ours_stays(label: str) -> None:
    with translation.override("pt-br"):
        assert verbs.spoken(label) == label


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-30T15:34:34.787921Z", "2026-11-30 15:34 UTC"),
        ("2026-11-30T15:34:34-03:00", "2026-11-30 18:34 UTC"),
        ("2026-19-39T29:34:34Z", ""),
        ("2026-11-30", ""),
        ("default", ""),
    ],
)
def test_times_in_sentences_are_written_as_everywhere(text: str, shown: str) -> None:
    assert to_the_minute(text) == shown


def test_of_which_data_a_requirement_is_told_in_words() -> None:
    """A column that is called like a data set keeps its name everywhere else."""
    with translation.override("pt-br"):
        assert about({"check": "data.quality", "attribute": "training"}) == "treinamento"
        assert about({"check": "bias.group_disparity", "attribute": "training"}) == "training"
        assert about({"check": "data.quality", "attribute": None}) == ""
