"""Learning in the background: datasets, and jobs that train or evaluate in processes of their own."""
