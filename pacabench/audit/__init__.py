"""The attack suite: programs that try to get out of the sandbox, run on the user's own engine.

``pacabench doctor --audit`` and ``tests/redteam`` run the same catalogue. Every attack is an agent:
it goes the way that real agents go (a lane, the sidecar, the hardened profile) and says as its
answer what it could do. After each one a harmless case is run in the same lane. And each attack has
a positive control: the same script where the protection is taken away has to succeed there, else
its failure in the sandbox proves nothing and the row is UNPROVEN.

To add an attack:

1. Write ``attacks/<group>/<name>.py``: standard library, and ``from pacabench.audit.attacks.kit
   import ...`` for what is shared. It has one function, ``attack(given)``, which gets the case's
   ``input`` (see :meth:`~pacabench.audit.bench.Bench.given` for the addresses in it) and returns
   ``found(broke, **evidence)``, or ``missing(reason)`` where this kernel or engine has not got
   what is attacked. ``broke`` means: the attack did what it must not be able to do. What is not an
   answer (a flood, a hang) is made by printing, sleeping or exiting; return None then.
2. Put an :class:`~pacabench.audit.attack.Attack` into ``catalogue/<group>.py``: the id is
   ``<group>.<name>`` with ``-`` for ``_``, and names the script.
3. Give it a control: a :class:`~pacabench.audit.attack.Mutation` of the container's create body
   from ``mutations.py``, ``limits.py`` or ``leaks.py`` (or a new one there) that takes away just
   the protection in question.
   Where that would be unsafe for the machine, a bounded stand-in, said so in ``Control.stand_in``.
   Controls with the same mutation share a container, each script in a process of its own;
   ``alone=True`` where that would not be honest. A control may be a function too
   (``Control.drive``), for protections that are the harness's own.
4. Where the script cannot know (late answers, floods, names), give the attack a ``judge``, which
   gets what the harness saw as an :class:`~pacabench.audit.attack.Observation`; where the usual
   course (send the case, take the first answer, close) is not the attack, a ``drive`` of its own
   (``drives/``), which says what it noticed to the judge ``noted``. Hostile output goes through one
   run of the whole command that all attacks on output look at (``drives/hostile.py``).
5. ``pytest tests/redteam -k <name>``: it has to be held, its control has to work, and the next case
   has to be unaffected. ``docs/attack-suite.md`` is made from the catalogue:
   ``python -m pacabench.audit.document > docs/attack-suite.md``.

Nothing in here sends a packet beyond the engine's machine: the "internet" is a container
(``stands/wan.py``), and so is the host's listener (``stands/host.py``).
"""
