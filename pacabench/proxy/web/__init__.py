"""The web, for agents that have an allow-list: a forward proxy on a lane's second port.

``server`` takes connections, ``passage`` carries one of them through, ``tunnel`` and ``request``
are its two kinds; ``addresses``, ``http_head`` and ``client_hello`` judge what they are given.
"""
