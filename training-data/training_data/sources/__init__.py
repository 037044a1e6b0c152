"""What examples are made from: the curated facts, and with the owner's consent documents and conversations."""
