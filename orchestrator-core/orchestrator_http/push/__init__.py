"""Messages to devices whose owner is not looking: Web Push (RFC 8030), encrypted (RFC 8291), signed (RFC 8292).

`pushing` decides and retries, `store` remembers, `delivery` sends one message, `addresses` says which services may
be reached, `application_key` holds the key that services know this server by.
"""
