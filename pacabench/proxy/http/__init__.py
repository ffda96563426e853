"""HTTP/1.1 on the agents' side: requests read strictly, replies written as they come.

Nothing in here knows what is asked or answered. A :class:`~.connection.Connection` belongs to one
accepted socket; it reads a :class:`~.request.Request`, calls who serves it, and lends it a
:class:`~.reply.Reply` to write to. Source: RFC 9110, RFC 9112.
"""
