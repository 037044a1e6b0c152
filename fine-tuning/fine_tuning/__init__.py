"""Learning: training, evaluation, export; the built-in model; the way through a cloud."""
