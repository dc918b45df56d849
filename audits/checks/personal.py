"""What kind of personal data a column holds: by its name in Portuguese, English and Spanish, and by its values.

Values count by the share of sampled distinct ones that a validator accepts, never by single ones (the US social
security number's shape accepts 88 % of random nine-digit numbers, so it is not tried at all). Validators: python-stdnum
for CPF, CNPJ, NIF and IBAN with their check digits, phonenumbers, email-validator without asking the network.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import email_validator
import phonenumbers
from stdnum import iban, luhn
from stdnum.br import cnpj, cpf
from stdnum.es import dni, nie

# direct: names a person; quasi: does together with others; special: LGPD art. 5 II, GDPR art. 9.
KINDS = {
    "person_name": "direct",
    "email": "direct",
    "phone": "direct",
    "national_id": "direct",
    "tax_id": "direct",
    "bank_account": "direct",
    "payment_card": "direct",
    "network_address": "direct",
    "street_address": "direct",
    "postcode": "quasi",
    "birth_date": "quasi",
    "age": "quasi",
    "sex": "quasi",
    "location": "quasi",
    "occupation": "quasi",
    "marital_status": "quasi",
    "education": "quasi",
    "nationality": "quasi",
    "race": "special",
    "religion": "special",
    "health": "special",
    "political_opinion": "special",
    "sexual_life": "special",
    "union_membership": "special",
    "biometric": "special",
}
# Whole words of a column's name, without accents. A name that is two words is matched as both, in order.
WORDS: dict[str, str] = {
    "person_name": "name fullname full_name first_name last_name surname forename nome nome_completo sobrenome prenome"
    " nombre apellido apellidos nome_mae nome_pai customer_name",
    "email": "email e_mail mail correo correo_electronico correio_eletronico",
    "phone": "phone telephone mobile cellphone phone_number telefone celular fone telefono movil",
    "national_id": "rg identidade passport passaporte pasaporte ssn social_security national_id cedula dni nie curp"
    " titulo_eleitor cnh driver_license drivers_license cns nis pis pasep",
    "tax_id": "cpf cnpj tax_id taxpayer nif rfc rut",
    "bank_account": "iban bank_account account_number conta_corrente conta_bancaria numero_conta cuenta_bancaria",
    "payment_card": "card_number credit_card_number cartao numero_cartao tarjeta numero_tarjeta pan",
    "network_address": "ip ip_address endereco_ip direccion_ip mac_address device_id",
    "street_address": "address street endereco logradouro rua direccion calle domicilio",
    "postcode": "zip zipcode zip_code postcode postal_code cep codigo_postal",
    "birth_date": "birth_date birthdate date_of_birth birthday dob data_nascimento nascimento fecha_nacimiento"
    " fecha_de_nacimiento nacimiento data_de_nascimento birth_year ano_nascimento",
    "age": "age age_group idade faixa_etaria edad",
    "sex": "sex gender sexo genero",
    "location": "city town county municipio cidade ciudad bairro neighbourhood neighborhood barrio latitude longitude"
    " lat lon lng",
    "occupation": "occupation profession job job_title profissao ocupacao cargo profesion ocupacion puesto",
    "marital_status": "marital_status marital marriage civil_status estado_civil",
    "education": "education schooling education_level escolaridade educacao escolaridad educacion",
    "nationality": "nationality citizenship native_country country_of_birth nacionalidade nacionalidad naturalidade",
    "race": "race ethnicity ethnic raca raca_cor cor_raca etnia cor_pele raza skin_color skin_colour",
    "religion": "religion faith creed religiao religion_creencia crenca",
    "health": "health disease diagnosis illness disability icd icd10 saude doenca diagnostico deficiencia cid cid10"
    " enfermedad discapacidad salud medication hiv pregnancy pregnant gestante gravidez",
    "political_opinion": "political_party party_affiliation political_opinion partido filiacao_partidaria"
    " afiliacion_politica",
    "sexual_life": "sexual_orientation orientacao_sexual orientacion_sexual",
    "union_membership": "union_membership trade_union sindicato filiacao_sindical",
    "biometric": "fingerprint biometric biometrics impressao_digital biometria huella genetic genome genoma",
}
REGIONS = ("BR", "US", "ES", "PT", "GB", "MX", "AR")
MATCH_RATIO = 0.80
MIN_DISTINCT = 10
SAMPLE = 1_000


@dataclass(frozen=True)
class Found:
    """`by` is name, values or both; `ratio` the share of sampled distinct values accepted, None where not tried."""

    category: str
    by: str
    ratio: float | None

    @property
    def kind(self) -> str:
        return KINDS[self.category]


def words_of(name: str) -> tuple[str, ...]:
    """ "dataNascimento", "Data de Nascimento" and "data-nascimento" in plain lower-case words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", plain)
    return tuple(re.findall(r"[a-z0-9]+", split.lower()))


def by_name(name: str) -> str | None:
    """The category a column's name says, the longest entry of the dictionary first."""
    words = words_of(name)
    best: tuple[int, int, str] | None = None
    for order, (entry, category) in enumerate(_ENTRIES):
        size = len(entry)
        if any(words[start : start + size] == entry for start in range(len(words) - size + 1)) and (
            best is None or size > best[0]
        ):
            best = (size, order, category)
    if best is None:
        return None
    # "file_name", "column name": a name of a thing
    if best[2] == "person_name" and set(words) & _THINGS:
        return None
    return best[2]


_ENTRIES = [(tuple(word.split("_")), category) for category, text in WORDS.items() for word in text.split()]
_THINGS = frozenset(
    {
        *("file", "column", "table", "product", "brand", "company", "model", "item", "host", "user", "field"),
        *("class", "type", "event", "campaign", "device", "store", "shop", "arquivo", "coluna", "tabela"),
        *(
            "produto",
            "marca",
            "empresa",
            "modelo",
            "campo",
            "classe",
            "tipo",
            "archivo",
            "columna",
            "producto",
        ),
    }
)


def by_values(values: list[Any], named: str | None) -> tuple[str, float] | None:
    """The category most of the distinct values belong to, with the share accepted; None below 80 %.

    `named` is what the name says: a phone number without a country prefix is tried only where the name agrees, because
    many plain numbers would pass for one.
    """
    texts = [str(value).strip() for value in values]
    if len(texts) < MIN_DISTINCT:
        return None
    best: tuple[str, float] | None = None
    for category, accepts in _VALIDATORS:
        # a validator that most of a first handful fails is not asked for the rest
        if sum(map(accepts, texts[:20])) < 0.5 * len(texts[:20]):
            continue
        ratio = sum(map(accepts, texts)) / len(texts)
        if ratio >= MATCH_RATIO and (best is None or ratio > best[1]):
            best = category, ratio
    if best is None and named == "phone":
        ratio = sum(map(_local_phone, texts)) / len(texts)
        if ratio >= MATCH_RATIO:
            best = "phone", ratio
    return best


def classify(name: str, values: list[Any]) -> Found | None:
    """By name and values; the values decide where they disagree, because a check digit is no coincidence."""
    named = by_name(name)
    valued = by_values(values, named)
    if valued is not None:
        return Found(valued[0], "both" if named == valued[0] else "values", valued[1])
    return None if named is None else Found(named, "name", None)


def _email(text: str) -> bool:
    if "@" not in text or len(text) > 320:
        return False
    try:
        email_validator.validate_email(text, check_deliverability=False, test_environment=True)
    except ValueError:  # EmailNotValidError is one
        return False
    return True


def _digits(text: str, size: int) -> str | None:
    """A number that lost its leading zeros in a file, with them."""
    plain = re.sub(r"[.\-/ ]", "", text.removesuffix(".0"))
    return plain.zfill(size) if plain.isdigit() and size - 3 <= len(plain) <= size else None


def _cpf(text: str) -> bool:
    number = _digits(text, 11)
    return number is not None and bool(cpf.is_valid(number))


def _cnpj(text: str) -> bool:
    number = _digits(text, 14)
    return number is not None and bool(cnpj.is_valid(number))


def _spanish(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9XYZxyz][0-9]{7}[- ]?[A-Za-z]", text)) and (
        bool(dni.is_valid(text)) or bool(nie.is_valid(text))
    )


def _iban(text: str) -> bool:
    return 15 <= len(text) <= 42 and text[:2].isalpha() and bool(iban.is_valid(text, check_country=False))


def _card(text: str) -> bool:
    plain = re.sub(r"[ -]", "", text)
    return 13 <= len(plain) <= 19 and plain.isdigit() and plain[0] in "3456" and bool(luhn.is_valid(plain))


def _phone(text: str) -> bool:
    return text.startswith("+") and _parsed(text, None)


def _local_phone(text: str) -> bool:
    return 8 <= len(text) <= 20 and any(_parsed(text.removesuffix(".0"), region) for region in REGIONS)


def _parsed(text: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, region)))
    except phonenumbers.NumberParseException:
        return False


def _address(text: str) -> bool:
    if text.count(".") != 3 and text.count(":") < 2:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_VALIDATORS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("email", _email),
    ("tax_id", _cpf),
    ("tax_id", _cnpj),
    ("national_id", _spanish),
    ("bank_account", _iban),
    ("payment_card", _card),
    ("phone", _phone),
    ("network_address", _address),
)


def _read_tables() -> None:
    """Metadata that the libraries would read from disk when first asked: a confined child can open nothing."""
    phonenumbers.PhoneMetadata.load_all()
    iban.is_valid("GB82WEST12345698765432")
    _email("someone@exämple.com")
    for accepts in (_cpf, _cnpj, _spanish, _card, _phone, _address):
        accepts("0")


_read_tables()
