"""Memory: handoff documents and conversations."""
