"""Origins, and the patterns by which an owner allows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import load_settings
from orchestrator_core.web_origin import WebOrigin, parse_pattern


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("app://obsidian.md", "app://obsidian.md"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3000/", "HTTP://LOCALHOST:3000"),
        ("http://localhost:*", "http://localhost:5173"),
        ("http://localhost:*", "http://localhost"),
        ("https://notes.example", "https://notes.example:443"),
        ("https://notes.example:443", "https://notes.example"),
        ("vscode-webview://*", "vscode-webview://1a2b3c4d5e"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_a_pattern_allows_what_it_names(pattern, origin):
    assert parse_pattern(pattern).allows(WebOrigin.parse(origin))


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("http://localhost:3000", "http://localhost:3001"),
        ("http://localhost:3000", "https://localhost:3000"),
        ("http://localhost:*", "http://localhost.evil.example:3000"),
        ("http://localhost:*", "http://evil.example:3000"),
        ("app://obsidian.md", "app://obsidian.md.evil"),
        ("app://obsidian.md", "evil://obsidian.md"),
        ("vscode-webview://*", "https://evil.example"),
        ("vscode-webview://*", "vscode-webview2://x"),
        ("http://localhost:*", "http://localhost:*"),
    ],
)
def test_and_nothing_else(pattern, origin):
    assert not parse_pattern(pattern).allows(WebOrigin.parse(origin))


@pytest.mark.parametrize(
    "text",
    [
        "*", "null", "", "localhost:3000", "localhost", "http://", "https://*", "http://*:3000", "https://*.example.org",
        "http://x/y", "http://x?y", "http://x#y", "http://user@x", "http://x:port", "http://x:70000", " http://x",
        "http://[", "app://ob*.md",
    ],
)  # fmt: skip
def test_what_is_no_origin_or_any_website_cannot_be_allowed(text):
    with pytest.raises(ValueError):
        parse_pattern(text)


def test_a_wrong_origin_in_the_settings_is_named():
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ={"ORCHESTRATOR_ALLOWED_ORIGINS": "http://localhost:3000,*"})
    message = caught.value.message
    assert "server.allowed_origins" in message and "ORCHESTRATOR_ALLOWED_ORIGINS" in message


@given(st.text(max_size=80))
def test_whatever_a_client_sends_as_its_origin_is_an_origin_or_an_error(text):
    try:
        origin = WebOrigin.parse(text)
    except ValueError:
        return
    assert origin.scheme and origin.host and "/" not in origin.host
