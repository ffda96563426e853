"""HTTP/1.1 to providers: origins, connections, and what comes back over them.

Written for this proxy in place of a general client, because a general one took half of what a call
costs. It sends GET and POST, follows no redirect, keeps no cookie and decodes no content coding.
"""
