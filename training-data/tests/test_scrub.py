"""Made-up data of each kind, drawn at random: nothing here was used to choose a pattern."""

from __future__ import annotations

import base64
import json
import secrets
from random import Random

import pytest
from training_data.dataset import build_examples
from training_data.scrub import REGIONS, sensitive_kinds


def luhn(digits: str) -> str:
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def iban(random: Random) -> str:
    account = f"{random.randrange(10**18):018}"
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02}{account}"


def letters(
    random: Random, count: int, alphabet: str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
) -> str:
    return "".join(random.choices(alphabet, k=count))


def jwt(random: Random) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": str(random.randrange(10**9))})
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        + "."
        + letters(random, 43)
    )


MADE = {
    "EMAIL_ADDRESS": lambda r: (
        f"{letters(r, 6).lower()}.{letters(r, 5).lower()}@{letters(r, 8).lower()}.{r.choice(['de', 'com', 'io', 'co.uk'])}"
    ),
    "CREDIT_CARD": lambda r: luhn("4" + f"{r.randrange(10**14):014}"),
    "IBAN_CODE": iban,
    "IP_ADDRESS": lambda r: ".".join(str(r.randrange(11, 250)) for _ in range(4)),
    "AWS Access Key": lambda r: "AKIA" + letters(r, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "GitHub Token": lambda r: "ghp_" + letters(r, 36),
    "JSON Web Token": jwt,
    "Private Key": lambda r: f"-----BEGIN {r.choice(['RSA', 'EC', 'OPENSSH'])} PRIVATE KEY-----",
    "Basic Auth Credentials": lambda r: f"https://{letters(r, 5)}:{letters(r, 9)}@host.example/x",
    "Base64 High Entropy String": lambda r: base64.b64encode(r.randbytes(36)).decode(),
}


@pytest.mark.parametrize("kind", MADE)
def test_made_up_data_in_a_sentence_is_found(kind):
    random = Random(secrets.randbits(64))
    for frame in ("We settled that {} is the one.", "- use {}\n- nothing else", "Ja, es ist {}"):
        made = MADE[kind](random)
        assert kind in sensitive_kinds(frame.format(made)), made


def test_telephone_numbers_of_many_regions_are_found():
    import phonenumbers

    formats = phonenumbers.PhoneNumberFormat
    for region in REGIONS:
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        for form in (formats.INTERNATIONAL, formats.NATIONAL):
            text = f"Ring {phonenumbers.format_number(number, form)} before six."
            assert "PHONE_NUMBER" in sensitive_kinds(text), text


def test_what_this_project_says_of_itself_is_nobodys_secret():
    texts = {example.output for example in build_examples()}
    assert {text: kinds for text in texts if (kinds := sensitive_kinds(text))} == {}


@pytest.mark.parametrize(
    "text",
    ["Bind to 127.0.0.1:5000.", "::1", "2026-10-05 14:03", "uuid 01932f4e-aaaa-7bbb-8ccc-0123456789ab"],
)
def test_what_every_machine_has_is_personal_to_none(text):
    assert sensitive_kinds(text) == []
