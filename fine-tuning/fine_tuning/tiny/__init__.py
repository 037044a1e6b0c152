"""The built-in model: trained from scratch on this project's own texts, and shipped with a card of what it can."""
