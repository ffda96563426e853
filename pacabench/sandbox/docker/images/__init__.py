"""The images: which base, what is built on it, and when it is built again.

Everything is content-addressed: the tag of an image is a hash of all that went into it, so what is
there needs no build, and what changed gets a new tag. See ``docs/images.md``.

``source_files``, ``tree``, ``requirement_files`` and ``build_context`` need no engine, and do not
import its client: every run reads what its agents are made of.
"""
