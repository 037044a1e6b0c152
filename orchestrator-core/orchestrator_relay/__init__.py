"""The relay: many requests at once through the one connection that the desktop dialled.

docs/relay.md is the protocol. `frames` and `heads` say what may be in a message, `flow` how much may be
under way, `message_socket` carries messages over WebSocket, `connection` joins them; `dial` and
`accept` make its two ends, `wsgi_call` answers a request with an app of this process.
"""
