"""The desktop's link to its VPS: enrolled once, dialled for ever, and both memories kept equal."""
