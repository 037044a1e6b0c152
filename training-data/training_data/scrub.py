"""Finds secrets and personal data in texts, by detect-secrets and Presidio's patterns; no model, no network.

Found: keys and tokens of known services, private keys, passwords in addresses and settings, words as
random as a key; e-mail addresses, telephone, card and account numbers, network addresses, wallets,
national numbers with a check digit.
Not found: names, street addresses, and what is secret only by its meaning ("the alarm code is my birthday").
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from training_data.errors import MissingLibrary

REGIONS = ("US", "GB", "DE", "FR", "IT", "ES", "IN", "CA", "BR", "JP", "AU")
"""Whose way of writing telephone numbers without a country code is known."""

RECOGNIZERS = (
    *("CreditCardRecognizer", "IbanRecognizer", "IpRecognizer", "MacAddressRecognizer"),
    *("CryptoRecognizer", "UsSsnRecognizer", "UkNinoRecognizer", "NhsRecognizer", "EsNifRecognizer"),
    *("ItFiscalCodeRecognizer", "PlPeselRecognizer", "DeTaxIdRecognizer", "AuTfnRecognizer"),
    *("InAadhaarRecognizer", "KrRrnRecognizer", "FiPersonalIdentityCodeRecognizer"),
)
"""Presidio's patterns that a check digit or a shape of its own keeps from matching ordinary numbers."""

LEAST_CONFIDENCE = 0.4
"""Presidio's score of a telephone number; its bare guesses at digits lie below."""

_SETTINGS_FILES = ("text.py", "text.yaml", "text.ini")
"""detect-secrets reads `name = value` by the kind of file; a text may quote any."""

Scan = Callable[[str], Iterator[str]]


def sensitive_kinds(text: str) -> list[str]:
    """What kinds of secret or personal data a text holds, each once; never the data itself.

    Raises:
        MissingLibrary: a library is not installed.
    """
    return list(dict.fromkeys(kind for scan in _detectors() for kind in scan(text)))


@cache
def _detectors() -> tuple[Scan, ...]:
    try:
        return _secrets(), _personal()
    except ImportError as error:
        raise MissingLibrary(
            f"Secrets and personal data cannot be found without {error.name}.",
            "Run `orchestrator install train`, or build from the curated facts alone.",
        ) from error


def _secrets() -> Scan:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
    from detect_secrets.plugins.keyword import KeywordDetector

    kinds: Any = get_mapping_from_secret_type_to_class()
    plugins = [make() for make in kinds.values()]
    entropy = [plugin for plugin in plugins if isinstance(plugin, HighEntropyStringsPlugin)]
    keywords = [plugin for plugin in plugins if isinstance(plugin, KeywordDetector)]
    others = [plugin for plugin in plugins if plugin not in entropy and plugin not in keywords]

    def scan(text: str) -> Iterator[str]:
        for line in text.split("\n"):
            yield from (plugin.secret_type for plugin in others if plugin.analyze_line("text", line))
            for plugin in keywords:
                if any(plugin.analyze_line(name, line) for name in _SETTINGS_FILES):
                    yield plugin.secret_type
            # Only quoted words are measured by it; in prose a key stands bare.
            for word in line.replace('"', " ").replace("'", " ").split():
                yield from (each.secret_type for each in entropy if each.analyze_line("text", f'"{word}"'))

    return scan


def _personal() -> Scan:
    from presidio_analyzer import predefined_recognizers as available

    recognizers: list[Any] = [getattr(available, name)() for name in RECOGNIZERS]
    recognizers.append(available.PhoneRecognizer(supported_regions=REGIONS))
    recognizers.append(_email_recognizer(available.EmailRecognizer))

    def scan(text: str) -> Iterator[str]:
        for recognizer in recognizers:
            for match in recognizer.analyze(text, recognizer.supported_entities, None) or ():
                words = text[match.start : match.end]
                if match.score >= LEAST_CONFIDENCE and not _is_own_machine(words):
                    yield match.entity_type

    return scan


def _email_recognizer(base: Any) -> Any:
    from tldextract import TLDExtract

    # Presidio's own would fetch the list of domains from the network.
    shipped = TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Email(base):  # type: ignore[misc]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(shipped(pattern_text).fqdn)

    return Email()


def _is_own_machine(words: str) -> bool:
    """127.0.0.1, 0.0.0.0, ::1: every machine's, so nobody's."""
    try:
        address = ipaddress.ip_address(words)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
