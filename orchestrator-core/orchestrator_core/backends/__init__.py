"""Backends: the ways a prompt becomes text. `base` is the contract, `factory` chooses."""
