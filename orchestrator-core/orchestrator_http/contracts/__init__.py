"""Other people's contracts: each module turns one vendor's requests into a `ChatCompletionRequest` and tells the
answer's deltas in that vendor's words."""
