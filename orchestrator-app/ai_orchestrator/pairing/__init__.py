"""Letting a device in: one pending pairing, its routes, and the addresses that a QR code may name."""
