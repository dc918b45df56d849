from __future__ import annotations

import logging
import os
import select
import signal
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.dispatch import FOLLOW_UP
from audits.ledger.notary import ForkError, Notary, NotTheNotaryError, pause
from audits.ledger.publication import Publication
from audits.ledger.rotation import attestation_keys, checkpoint_keys, vkey_validity
from audits.ledger.signing import jwks
from audits.models import Workspace
from audits.roles import acting_as_notary
from audits.services.alarms import tell_of_changes, tell_of_migrations
from governance.services.attestations import issue_pending
from governance.services.keys import compromised_keys
from governance.services.revocations import issue_if_needed

POLL = 1.0  # seconds: the fallback when a notification is lost
STANDBY = 0.5
LONGEST = 8.0  # between two attempts, when the database goes on refusing
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

    @acting_as_notary()
    def handle(self, *args: Any, **options: Any) -> None:
        keys = checkpoint_keys()
        attestation_keys()  # said at the start, not at the first promotion
        publication = Publication(keys.signer.vkey, others=keys.vkeys)
        self.wakeup, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self.stopping = self.looked = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        notary = Notary(keys.signer, publication, cosigners=keys.cosigners)
        try:
            if options["once"]:
                if not notary.acquire():
                    raise CommandError("Another notary is at work.")
                while self._pass(notary):
                    pass
            else:
                self._serve(notary)
        except ForkError as error:
            raise CommandError(
                f"The notary stops and signs nothing: {error} Run `manage.py verify_ledger`, and keep every copy of "
                "the published checkpoints. How to go on: docs/audit.md, «When the log has forked»."
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

    def _serve(self, notary: Notary) -> None:
        """Until told to stop. Whatever the database says, and that it is gone, is waited for: a notary that ended over
        it would have to be started by somebody else. A fork is not: somebody has to look.
        """
        self.failed = 0
        while not self.stopping:
            try:
                if not notary.acquire():
                    log.debug("another notary is at work; standing by")
                    self._rest(STANDBY)
                    continue
                log.info("notary at work for %s", notary.signer.vkey.name)
                self._work(notary)
            except (Error, NotTheNotaryError) as error:
                log.warning("the notary lost its place, and tries again: %s", " ".join(str(error).split()))
                notary.release()
                connection.close()
                self._rest(min(STANDBY * 2.0**self.failed, LONGEST))
                self.failed = min(self.failed + 1, 10)

    def _work(self, notary: Notary) -> None:
        """Pass after pass. Whoever called does not call again at once (audits.dispatch): a pass that somebody called
        for is followed by another one soon, called for or not.
        """
        called = True  # perhaps, before we listened
        while not self.stopping:
            began = time.monotonic()
            more = self._pass(notary)
            self.failed = 0
            called = True if more else notary.wait(FOLLOW_UP if called else POLL, self.wakeup)
            pause(began)

    def _rest(self, seconds: float) -> None:
        """So long, or until told to stop."""
        select.select([self.wakeup], [], [], seconds)

    def _pass(self, notary: Notary) -> bool:
        """One pass, the attestations it made possible and the revocation list. True if there is more to do at once.

        Keys are looked up each time: one that was announced begins to sign without a restart.
        """
        keys, attesters = checkpoint_keys(), attestation_keys()
        notary.publication.vkey, notary.publication.others = keys.signer.vkey, keys.vkeys
        notary.use(keys.signer, keys.cosigners)
        told = self._tell()
        result = notary.run_pass()
        if result.sequenced:
            log.info("%d events sequenced, checkpoint over %d", result.sequenced, result.published)
        bad = compromised_keys()
        document = jwks(attesters.current, notary.publication.published_jwks(), attesters.announced)
        document["keys"] = [key for key in document["keys"] if key["kid"] not in bad]
        self._publish_keys(notary.publication, document)
        notary.publication.publish_validity(vkey_validity(keys, bad))
        issued = bool(issue_pending(attesters.current))
        # At the first pass in any case: the notary before may have ended between a change and its list.
        listed = issue_if_needed(attesters.current, changed=issued or result.sequenced > 0 or not self.looked)
        self.looked = True
        return issued or listed or told or result.more

    def _tell(self) -> bool:
        """What was done past the door, and migrations, become events: before the pass, so that it covers them."""
        if not self.looked:
            workspace = Workspace.objects.order_by("created_at", "id").first()
            if workspace is not None:
                tell_of_migrations(command=Circumstances(system_actor("notary", workspace.id)))
        return bool(tell_of_changes())

    def _publish_keys(self, publication: Publication, document: dict[str, Any]) -> None:
        said = (document, publication.published_jwks(), publication.published_vkey())
        if said[0] != said[1] or said[2] != str(publication.newest_vkey()):
            publication.publish_keys(document)
