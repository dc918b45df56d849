from __future__ import annotations

import logging
import os
import signal
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, connection

from audits.ledger.notary import ForkError, Notary, NotTheNotaryError, pause
from audits.ledger.publication import Publication
from audits.ledger.signing import AttestationKey, attestation_key, checkpoint_key, jwks
from governance.services.attestations import issue_pending

POLL = 1.0  # seconds: the fallback when a notification is lost
STANDBY = 0.5
LOST = (OperationalError, InterfaceError, NotTheNotaryError)
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Sequence the ledger, sign and publish checkpoints, issue attestations. One notary works at a time; another "
        "one waits. Ends on SIGTERM. Exit 1, with the reason, when what was published and the database disagree."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="do what there is to do, then end; exit 1 if another notary works"
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        signer, attester = checkpoint_key(), attestation_key()
        publication = Publication(signer.vkey)
        self.wakeup, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        notary = Notary(signer, publication)
        try:
            if options["once"]:
                if not notary.acquire():
                    raise CommandError("Another notary is at work.")
                publication.publish_keys(jwks(attester, publication.published_jwks()))
                while self._pass(notary, attester):
                    pass
            else:
                self._serve(notary, publication, attester)
        except ForkError as error:
            raise CommandError(
                f"The notary stops and signs nothing: {error} Run `manage.py verify_ledger`, and keep every copy of "
                "the published checkpoints."
            ) from error
        finally:
            notary.release()
            os.close(self.wakeup)
            os.close(self._bell)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        try:
            os.write(self._bell, b"!")
        except BlockingIOError:  # it has rung already
            pass

    def _serve(self, notary: Notary, publication: Publication, attester: AttestationKey) -> None:
        while not self.stopping:
            try:
                if not notary.acquire():
                    log.debug("another notary is at work; standing by")
                    time.sleep(STANDBY)
                    continue
                publication.publish_keys(jwks(attester, publication.published_jwks()))
                log.info("notary at work for %s", notary.signer.vkey.name)
                self._work(notary, attester)
            except LOST as error:
                log.warning("the notary lost its place, and tries again: %s", " ".join(str(error).split()))
                connection.close()
                time.sleep(STANDBY)

    def _work(self, notary: Notary, attester: AttestationKey) -> None:
        while not self.stopping:
            began = time.monotonic()
            if self._pass(notary, attester):
                pause(began)
                continue
            notary.wait(POLL, self.wakeup)
            pause(began)

    def _pass(self, notary: Notary, attester: AttestationKey) -> bool:
        """One pass and the attestations it made possible. True if there is more to do at once."""
        result = notary.run_pass()
        if result.sequenced:
            log.info("%d events sequenced, checkpoint over %d", result.sequenced, result.published)
        return bool(issue_pending(attester)) or result.more
