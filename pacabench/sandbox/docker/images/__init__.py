"""The images: which base, what is built on it, and when it is built again.

Everything is content-addressed: the tag of an image is a hash of all that went into it, so what is
there needs no build, and what changed gets a new tag. See ``docs/images.md``.

``source``, ``tree`` and ``user_build`` need no engine: every run reads what its agents are made of.
"""
