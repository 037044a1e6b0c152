"""The VPS tier: relay to the desktop and fallback answers."""
