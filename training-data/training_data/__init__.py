"""Builds the fine-tuning datasets."""
