"""Training: from a recipe and a dataset to an adapter, resumable, within a card's memory."""
