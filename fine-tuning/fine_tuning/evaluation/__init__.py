"""Evaluation: how well a model answers held-out questions, and whether it is better than another."""
