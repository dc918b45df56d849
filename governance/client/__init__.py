"""The client of Crivo: `Crivo(url, token)` for pipelines, and the command `crivo`. Standard library only.

    from governance.client import Crivo, Refused

    crivo = Crivo("https://crivo.example", token)
    version = crivo.register_model_version("scoring", "model.skops", metadata)
    promotion = crivo.promote("scoring", version.n, to="test", reason="nightly training")
    promotion = crivo.wait(promotion.id, seconds=300)

Every write carries an Idempotency-Key made once per call, so that a repeat after a lost answer is not a second effect.
"""

from governance.client.api import Crivo
from governance.client.errors import CrivoError, Refused, Unreachable, Usage

__all__ = ["Crivo", "CrivoError", "Refused", "Unreachable", "Usage"]
