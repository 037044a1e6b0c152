"""One completion of any client's contract: from its messages to what it is shown, piece by piece."""
