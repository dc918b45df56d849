"""A version beside the one that is live: metrics, groups, importance of columns, data.

From results that are stored already; nothing is measured for it, and it is never part of the dossier's digest: what is
live changes without the proof changing.
"""

from governance.comparison.compare import Comparison, compare

__all__ = ["Comparison", "compare"]
