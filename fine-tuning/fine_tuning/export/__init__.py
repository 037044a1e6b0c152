"""Export: from a finished run to the files that servers load, each compared with the trained model."""
