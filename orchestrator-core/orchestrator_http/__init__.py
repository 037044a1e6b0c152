"""The HTTP pieces both servers share: errors, auth, event streams, OpenAPI, routes.

Nothing here knows which tier it runs on, binds a socket or imports a model library. Routes
reach the rest of the program only through `Services`.
"""
