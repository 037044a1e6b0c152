"""The registry: the models of this machine, each version with what it was made from, and which one is active."""
