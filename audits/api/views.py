"""The audit package over HTTP."""
