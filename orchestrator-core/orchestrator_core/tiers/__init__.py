"""Several machines, one assistant: which tier answers, and how one takes over from another."""
