"""The desktop tier."""
