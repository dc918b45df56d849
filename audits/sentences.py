"""Every message code and every verb of this package, as sentences. Never remove one: old events still say it."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audits.checks.messages import TEMPLATES

SENTENCES: dict[str, str | Promise] = {
    **{code: _(text) for code, text in TEMPLATES.items()},  # extracted from audits.checks.messages
    # the door
    "not_permitted": _(
        "You may not do this here: none of your roles (and, with a token, its scopes) permits {action}."
    ),
    "precondition_failed": _(
        "It has changed since you read it, so nothing was done. Read it again, and decide on what it says now."
    ),
    "if_match_invalid": _('If-Match takes the ETag of an earlier answer, in its quotation marks, or "*".'),
    "request_in_flight": _("The same request is being worked on right now. Ask again in a moment."),
    "idempotency_key_reused": _("This Idempotency-Key was already used with another body. Use a new key."),
    "idempotency_key_invalid": _("An Idempotency-Key has 1 to 200 printable characters."),
    "ledger_unavailable": _("The audit event could not be written, so nothing was done. Try again."),
    "database_unavailable": _("The database did not answer, so nothing was done. Try again."),
    "internal_error": _(
        "Something went wrong on our side. The log of the server has it under the X-Request-Id of this answer."
    ),
    # requests
    "not_found": _("There is no {kind} {name}, or you may not see it."),
    "malformed": _("The request cannot be read: {reason}"),
    "invalid": _("The request is not valid: {reason}"),
    "not_authenticated": _("Say who you are: Authorization: Bearer crv_… ({reason})"),
    "method_not_allowed": _("This address does not answer to that method. {reason}"),
    "not_acceptable": _("The answer cannot be given in the wanted form. {reason}"),
    "unsupported_media_type": _("This kind of body is not understood here. {reason}"),
    "throttled": _("Too many requests. {reason}"),
    "error": _("{reason}"),
    "query_parameter_unknown": _("The query parameter {name} is not known here. Known: {known}."),
    "page_size_invalid": _("page_size is a whole number from 1 to {limit}."),
    "wait_invalid": _("wait is a number of seconds; up to {limit} are waited for."),
    "upload_too_large": _("The upload is over the limit of {cap} bytes. Nothing of it was kept."),
    "upload_missing": _("A file is expected in the multipart part {part}."),
    "upload_metadata_invalid": _("The part metadata is expected to be a JSON object: {reason}"),
    # check runs
    "check_pending": _("The check has not finished."),
    "check_run_taken_over": _("Another worker has taken this check over."),
    "check_run_finished": _("The check is {state} already: there is nothing left to cancel."),
    "check_cancelled": _("The check was cancelled before it had a result. Ask again, and it is computed."),
    "check_not_needed": _("No request waits for this check any more, so it was ended without a result."),
    "check_killed_workers": _("The check was given up after its worker died {attempts} times."),
    "part_lost": _("What this part was told or counted is no longer in the folder of its zone."),
    "check_result_malformed": _(
        "The confined process handed back something that is no result (at: {where})."
    ),
    "material_unreadable": _(
        "The {role} ({digest}) cannot be read from the store, or its bytes have changed."
    ),
    "zone_data_unreadable": _(
        "The {role} data could not be read in its data zone ({reason}). Is it where it was registered?"
    ),
    # the ledger and its exports
    "entry_damaged": _(
        "The event at {index} ({event}) is not the one that was logged: it was changed past Crivo. "
        "Run `manage.py verify_ledger` and open an incident."
    ),
    "ledger_diverged": _(
        "The stored log is not the one the checkpoint signs. Run `manage.py verify_ledger` and open an incident."
    ),
    "nothing_published": _("No checkpoint has been published yet. Is the notary running?"),
    "export_killed_workers": _("The export was given up after its worker died {attempts} times."),
    "export_taken_over": _("Another worker has taken this export over."),
    "export_not_done": _("The export is {state}: there is nothing to fetch."),
    "export_content_lost": _("The bytes of the export cannot be read from the store, or have changed."),
    "events_pruned": _(
        "{count} events from before {before} were pruned; they are in the export {export} ({digest})."
    ),
    "export_pruned_meanwhile": _(
        "Events were pruned while the export was made, or just before. Ask for it again in a moment."
    ),
    "pruning_too_young": _("The decision log is kept for at least {years} years. Choose an earlier time."),
    "pruning_export_incomplete": _(
        "The export {export} is not a finished, verifiable one of everything. Make one without a filter, and wait "
        "until it is done."
    ),
    "pruning_export_unverified": _("The export {export} does not verify, so nothing was pruned: {reason}"),
    "pruning_on_hold": _(
        "A legal hold stands on somebody who acted or wrote in {count} of these events. Lift it first, if it is over."
    ),
    "pruning_nothing": _("No event of the decision log from before {before} is in this export and may go."),
    "erasure_on_hold": _(
        "A legal hold forbids to erase what this person wrote. Lift it first, if it is over."
    ),
    "erasure_of_oneself": _("Nobody erases their own traces. Ask somebody else who may."),
    "erasure_elsewhere": _(
        "The trail of another workspace tells of this person, and that workspace erases: ask there. A legal hold can "
        "be placed here."
    ),
    "erasure_of_superuser": _("The account of a superuser is erased on the server only."),
    "log_known": _("The log {origin} has events of its own already. Choose another name for the new one."),
    "hold_lifted": _("The legal hold was lifted before."),
    "event_not_published": _(
        "The event is in no published checkpoint yet; it will be, usually within a second."
    ),
    # confinement
    "killed_by_signal": _(
        "The confined process was ended by {signal}: a library crashed, or the file tried what is forbidden."
    ),
    "out_of_memory": _("The check needed more than the {memory_bytes} bytes of memory it may use."),
    "timeout": _(
        "The check took longer than the {seconds} seconds ({kind} time) it may take, and was ended."
    ),
    "output_too_large": _("The check handed back more than {limit_bytes} bytes."),
    "garbled_output": _("The confined process handed back something unreadable ({reason})."),
    "confinement_unavailable": _(
        "This machine cannot confine the check at level {required_level}: {missing} is missing. Nothing was loaded."
    ),
    "digest_mismatch": _(
        "The stored bytes of {file} have the digest {found}, not {expected}. Nothing was loaded."
    ),
    "zygote_failed": _("The process that confines checks could not be used ({stage}): {reason}"),
    # webhooks
    "webhook_url_malformed": _(
        "This is no URL that can be called: https://host/path, at most {limit} plain characters, without user or #."
    ),
    "webhook_scheme_refused": _("Webhooks go to {schemes} only."),
    "webhook_port_refused": _(
        "Port {port} is not open to webhooks. Open are: {known} (CRIVO_WEBHOOK_PORTS)."
    ),
    "webhook_address_refused": _(
        "{host} leads to an address that is not public. Whoever runs Crivo may allow its network "
        "(CRIVO_WEBHOOK_ALLOW)."
    ),
    "webhook_name_unknown": _("The name {host} could not be resolved."),
    "webhook_no_answer": _("No answer came: the connection failed ({error})."),
    "webhook_too_slow": _("No whole answer came within {seconds} seconds."),
    "webhook_status": _("The receiver answered with status {status}; only 2xx is a receipt."),
    "webhook_gone": _("The receiver answered 410 Gone: it does not want to be called any more."),
    "webhook_failing": _("No delivery has succeeded for {days} days."),
    "webhook_switched_off": _("It was switched off by somebody."),
    "webhook_killed_workers": _(
        "The delivery was given up after {attempts} tries, the last one without a word."
    ),
    "webhook_event_pruned": _("The event was pruned since: there is nothing left to send."),
    "webhook_name_taken": _(
        "There is a webhook named {name} already. Choose another name, or change that one."
    ),
    "webhook_verb_unknown": _("The verb {verb} is not known. GET /api/v1/webhooks/verbs lists them."),
    "webhook_kind_malformed": _("A kind of subject is a short word, like promotion, not {kind}."),
    "webhook_transition": _("The webhook is {state} and cannot become {wanted}."),
    "webhook_overlap_invalid": _("The old secret may stay valid for 0 to {limit} hours."),
    "webhook_nothing_to_redeliver": _("Nothing that was sent or given up is in that range."),
    "webhook_redelivery_unclear": _(
        "Name one delivery, or a range by from_index and to_index, and not both."
    ),
    # bytes from a URI
    "fetch_digest_needed": _("A URI comes with the digest of its bytes: sha256: and 64 hexadecimal digits."),
    "fetch_uri_malformed": _(
        "This is no URI that can be read: file:///path, https://host/path or s3://bucket/key."
    ),
    "fetch_url_malformed": _(
        "This is no URL that can be read: https://host/path, at most {limit} plain characters."
    ),
    "fetch_scheme_unknown": _("The scheme {scheme} is not known. Known: {known}."),
    "fetch_scheme_refused": _("Bytes are fetched by {schemes} only."),
    "fetch_port_refused": _("Port {port} is not open for fetching. Open are: {known} (CRIVO_FETCH_PORTS)."),
    "fetch_address_refused": _(
        "{host} leads to an address that is not public. Whoever runs Crivo may allow its network (CRIVO_FETCH_ALLOW)."
    ),
    "fetch_name_unknown": _("The name {host} could not be resolved."),
    "fetch_no_answer": _("The bytes could not be read ({error})."),
    "fetch_too_slow": _("Not all bytes came within {seconds} seconds."),
    "fetch_too_large": _("There are more than the {cap} bytes that are taken. Nothing was kept."),
    "fetch_status": _(
        "The server answered with status {status}; only 200 is taken, and redirects are not followed."
    ),
    "fetch_encoded": _("The server sent the bytes compressed, though asked not to."),
    "fetch_not_begun": _("Nothing was fetched: your permission changed while you asked. Ask again."),
    "fetch_file_refused": _("There is no such file in a folder that Crivo may read (CRIVO_FILE_ROOTS)."),
    "fetch_bucket_refused": _(
        "The bucket {bucket} is not among those that Crivo may read (CRIVO_S3_BUCKETS)."
    ),
    "fetch_folder_empty": _("The folder holds no file."),
    "fetch_folder_too_many": _("The folder holds {files} files; at most {limit} are taken."),
    # explanations of one record
    "explanation_taken_over": _("Another worker has taken this explanation over."),
    "explanation_record_lost": _(
        "The record cannot be opened any more: the key it was sealed with has gone. Ask again."
    ),
    "explanation_not_done": _("The explanation is {state}: there is nothing to draw."),
    # checks computed again
    "reproduction_not_finished": _("The check is {state}: there is no result yet that could be reproduced."),
    "reproduction_cancelled": _("The check was cancelled: there is no result that could be reproduced."),
    "reproduction_not_repeatable": _(
        "{check} measures this machine at this moment (times, memory): it gives other numbers each time, so a second "
        "run says nothing about the first. Nothing was run."
    ),
    "reproduction_other_version": _(
        "The result was computed by version {asked} of {check}; installed is {installed}. Reproduce it with the "
        "release of Crivo that has that version."
    ),
    "reproduction_taken_over": _("Another worker has taken this reproduction over."),
}

VERBS = {
    "check_run.reproduction_requested": _("{actor} asked for the check {subject} to be computed again"),
    "check_run.reproduced": _("{actor} computed the check {subject} again"),
    "explanation.requested": _("{actor} asked for the explanation of a decision by {subject}"),
    "explanation.completed": _("{actor} completed the explanation of a decision by {subject}"),
    "check_run.completed": _("{actor} completed the check {subject}"),
    "check_run.cancelled": _("{actor} cancelled the check {subject}"),
    "audit.exported": _("{actor} exported the trail ({subject})"),
    "audit.export_completed": _("{actor} completed the export of the trail {subject}"),
    "audit.export_failed": _("{actor} could not make the export of the trail {subject}"),
    "audit.pruned": _("{actor} pruned {subject} after an export of it"),
    "retention.set": _("{actor} set how long {subject} is kept"),
    "event.quarantined": _("{actor} quarantined an event that is not genuine ({subject})"),
    "out_of_band.detected": _("{actor} found a change made past the services: {subject}"),
    "row.differs": _("{actor} found that a row is not what its last event says: {subject}"),
    "net.torn": _("{actor} found holes in {subject}"),
    "net.mended": _("{actor} found {subject} whole again"),
    "schema.migrated": _("{actor} noted that {subject} was changed"),
    "person.erased": _("{actor} erased the personal data of {subject}"),
    "hold.placed": _("{actor} placed a legal hold ({subject})"),
    "hold.lifted": _("{actor} lifted a legal hold ({subject})"),
    "log.reopened": _("{actor} went on under a new log after an incident ({subject})"),
    "webhook.created": _("{actor} created the webhook {subject}"),
    "webhook.changed": _("{actor} changed the webhook {subject}"),
    "webhook.deleted": _("{actor} deleted the webhook {subject}"),
    "webhook.secret_rotated": _("{actor} gave the webhook {subject} a new secret"),
    "webhook.tested": _("{actor} tested the webhook {subject}"),
    "webhook.redelivered": _("{actor} had events sent again to the webhook {subject}"),
    "webhook.disabled": _("{actor} disabled the webhook {subject}, which did not answer"),
}
