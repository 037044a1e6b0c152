"""Learning: training, evaluation, export."""
