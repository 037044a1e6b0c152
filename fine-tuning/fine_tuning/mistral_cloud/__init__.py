"""The way through Mistral's fine-tuning service, by its own client."""
