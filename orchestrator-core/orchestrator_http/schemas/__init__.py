"""The JSON bodies of the API, as pydantic models. One module per group of routes."""
