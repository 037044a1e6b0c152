"""Text as it arrives: whole characters from bytes, and answers that end before a stop."""
