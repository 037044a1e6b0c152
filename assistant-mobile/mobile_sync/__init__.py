"""Reach: discovery, route choice, outbox and sync for the phone."""
