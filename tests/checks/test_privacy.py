"""Personal data: found by name in three languages and by values with check digits, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from stdnum import luhn
from stdnum.br import cpf
from stdnum.es import dni

from audits.checks.personal import by_name, classify
from tests.checks import cast

CHECK = "privacy.columns"


def cpfs(count: int, formatted: bool = False) -> list[str]:
    stream = np.random.default_rng(0)
    found = []
    for number in stream.integers(10**8, 10**9, count):
        whole = next(f"{number}{check:02d}" for check in range(100) if cpf.is_valid(f"{number}{check:02d}"))
        found.append(cpf.format(whole) if formatted else whole)
    return found


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Data de Nascimento", "birth_date"),
        ("dataNascimento", "birth_date"),
        ("fecha_nacimiento", "birth_date"),
        ("date-of-birth", "birth_date"),
        ("raça", "race"),
        ("raca_cor", "race"),
        ("ethnicity", "race"),
        ("Género", "sex"),
        ("correo electrónico", "email"),
        ("CPF_titular", "tax_id"),
        ("cep", "postcode"),
        ("orientação sexual", "sexual_life"),
        ("customer_name", "person_name"),
        ("nome da mãe", "person_name"),
        ("endereço IP", "network_address"),
        ("diagnóstico", "health"),
        ("file_name", None),
        ("product name", None),
        ("average_amount", None),  # "age" is inside, not a word of it
        ("ipca", None),
        ("pagerank", None),
        ("s5", None),
    ],
)
def test_names_in_three_languages(name: str, category: str | None) -> None:
    assert by_name(name) == category


class TestValues:
    @pytest.mark.parametrize(
        ("values", "category"),
        [
            (cpfs(50), "tax_id"),
            (cpfs(50, formatted=True), "tax_id"),
            ([int(number) for number in cpfs(50)], "tax_id"),
            ([f"person{n}@example.com.br" for n in range(50)], "email"),
            ([f"+55119{n:08d}" for n in range(61234000, 61234050)], "phone"),
            ([f"10.0.{n}.1" for n in range(50)], "network_address"),
        ],
    )
    def test_most_of_them_must_be_valid(self, values: list[Any], category: str | None) -> None:
        found = classify("x1", values)
        assert (found.category if found else None) == category
        if found:
            assert (found.by, found.ratio) == ("values", 1.0)

    def test_spanish_identity_and_cards(self) -> None:
        identities = [f"{n:08d}{dni.calc_check_digit(f'{n:08d}')}" for n in range(12345600, 12345650)]
        found = classify("x1", identities)
        assert found is not None
        assert found.category == "national_id"
        cards = [f"4{n:014d}" + luhn.calc_check_digit(f"4{n:014d}") for n in range(10**9, 10**9 + 50)]
        found = classify("x1", cards)
        assert found is not None
        assert found.category == "payment_card"

    def test_random_numbers_of_the_same_shape_are_nobody(self) -> None:
        stream = np.random.default_rng(1)
        for digits in (8, 9, 10, 11, 13, 14, 16):
            values = [str(n) for n in stream.integers(10 ** (digits - 1), 10**digits, 500)]
            assert classify("x1", values) is None, digits

    def test_a_plain_number_is_a_phone_only_where_the_name_says_so(self) -> None:
        local = [f"119{n:08d}" for n in range(61234000, 61234050)]
        assert classify("measurement", local) is None
        found = classify("telefone", local)
        assert found is not None
        assert (found.category, found.by) == ("phone", "both")

    def test_few_values_prove_nothing(self) -> None:
        assert classify("x1", cpfs(9)) is None

    def test_half_of_them_is_not_most(self) -> None:
        mixed = cpfs(50)[:25] + [str(n) for n in range(10**10, 10**10 + 25)]
        assert classify("x1", mixed) is None


class TestCheck:
    FRAME = pd.DataFrame(
        {
            "cpf": cpfs(40),
            "race": ["a", "b"] * 20,
            "sex": ["f", "m", "m", "f"] * 10,
            "age": [20, 30, 40, 50] * 10,
            "amount": np.arange(40.0),
            "progression": [0, 1] * 20,
        }
    )

    def run(self, frame: pd.DataFrame | None = None, **what: Any) -> dict[str, Any]:
        data = self.FRAME if frame is None else frame
        return cast.run(CHECK, training=data, evaluation=data, **what)

    def test_columns_are_counted_by_kind_and_named(self) -> None:
        result = self.run()

        def value(name: str) -> Any:
            return cast.metric(result, name, group="training")["value"]

        assert value("direct_identifier_columns") == 1
        assert value("quasi_identifier_columns") == 2
        assert value("special_category_columns") == 1
        assert value("undeclared_special_columns") == 1
        assert {"code": "special_undeclared", "params": {"role": "training", "columns": "race"}} in result[
            "notes"
        ]
        assert {"code": "direct_identifiers", "params": {"role": "training", "columns": "cpf"}} in result[
            "notes"
        ]
        table = cast.table(result, "privacy_columns").query("dataset == 'training'").set_index("column")
        assert table.loc["cpf", ["category", "kind", "by", "match_ratio"]].tolist() == [
            "tax_id",
            "direct",
            "both",
            1.0,
        ]

    def test_declaring_it_sensitive_settles_it(self) -> None:
        declared = cast.semantics(sensitive={"race": {"use": "forbidden"}, "sex": {}})
        result = self.run(declared=declared)
        assert cast.metric(result, "undeclared_special_columns", group="training")["value"] == 0
        assert "special_undeclared" not in cast.codes(result)

    def test_no_value_of_a_cell_leaves_the_check(self) -> None:
        text = str(self.run())
        for value in self.FRAME["cpf"]:
            assert value not in text

    def test_k_is_the_smallest_class(self) -> None:
        result = self.run(parameters={"quasi_identifiers": ["sex", "race"]})
        expected = int(self.FRAME.groupby(["sex", "race"]).size().min())
        assert cast.metric(result, "k_anonymity", group="training")["value"] == expected
        assert cast.metric(result, "unique_row_ratio", group="training")["value"] == 0
        lonely = self.FRAME.assign(age=[99, *[40] * 39])
        found = cast.metric(
            self.run(lonely, parameters={"quasi_identifiers": ["age"]}),
            "unique_row_ratio",
            group="training",
        )
        # by the declared bins (50, 65): one row is 65 or older
        assert found["value"] == 1 / 40
        assert found["denominators"] == {"rows": 40, "columns": 1, "classes": 2, "unique": 1}

    def test_nothing_to_combine_is_undefined(self) -> None:
        plain = pd.DataFrame({"amount": [1.0, 2.0], "progression": [0, 1]})
        result = self.run(plain, declared=cast.semantics(sensitive={}))
        found = cast.metric(result, "k_anonymity", group="training")
        assert (found["value"], found["undefined"]["code"]) == (None, "no_quasi_identifiers")

    def test_an_asked_column_that_is_not_there_is_named(self) -> None:
        result = self.run(parameters={"quasi_identifiers": ["nobody"]})
        assert result["error"]["params"] == {"columns": "nobody", "reader": "privacy"}
