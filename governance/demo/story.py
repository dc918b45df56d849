"""The main job, told by a pipeline and five people against a running server, through the client that Crivo ships.

`prepare` is its first half, which script/server plays as well: one version refused, one waiting for people. `tell` is
all of it. A sentence is printed after what it says was found true; the first that does not hold raises NotHeldError.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from governance.client import Refused
from governance.client.shapes import ModelVersion, Promotion
from governance.demo import proofs, study, tamper
from governance.demo.person import Ended
from governance.demo.registering import register
from governance.demo.stage import NotHeldError, Stage, hold, refused

CHECKS = 300.0  # seconds: the first check of a worker loads all libraries
EFFECTIVE = 60.0
RATIO = "demographic_parity_ratio"
MEASURED = {"without": 0.6283, "with": 0.8602}  # of sex, at scikit-learn's bundled data and the fixed split
TOLERANCE = 0.01  # other BLAS, other last digits: one patient in 177 moves the ratio by about as much
NOBODY = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Prepared:
    files: study.Study
    versions: dict[str, ModelVersion]
    refused: Promotion
    waiting: Promotion


def prepare(stage: Stage) -> Prepared:
    """Register everything, and bring both versions as far as checks alone can."""
    files = study.build(stage.folder / "study")
    versions = register(stage, files)
    for to in ("development", "test"):
        for name in versions:
            _pass(stage, versions[name], to, f"{name}: the entry checks, as after every training")
    turned_down = _refused_at_homologation(stage, versions["without"])
    waiting = _awaited_at(stage, versions["with"], "homologation")
    return Prepared(files, versions, turned_down, waiting)


def tell(stage: Stage, superuser_database_url: str) -> None:
    """All of it, on a database that is known to nobody else: it is tampered with, and put back."""
    began = time.monotonic()
    prepared = prepare(stage)
    version = prepared.versions["with"]
    _no_self_approval(stage, prepared.waiting)
    _approve(stage, "bruno", prepared.waiting)
    _effective(stage, prepared.waiting)
    _gate(stage, prepared, open_for=None)
    waiting = _awaited_at(stage, version, "production")
    _no_self_approval(stage, waiting)
    _approve(stage, "bruno", waiting)
    _one_is_not_enough(stage, waiting)
    _approve(stage, "bia", waiting)
    granted = _effective(stage, waiting)
    _gate(stage, prepared, open_for="with")
    _outsider(stage, granted)
    _proofs(stage, version, granted)
    _trail(stage)
    _tampering(stage, superuser_database_url)
    stage.say(f"All of it held, in {time.monotonic() - began:.0f} s.")


# Promotion


def _promote(stage: Stage, version: ModelVersion, to: str, reason: str, expected: int) -> Promotion:
    ended = stage["pipeline"].command(
        *("promote", version.name, version.n, "--to", to, "--reason", reason),
        *("--wait", "--timeout", CHECKS, "--json"),
    )
    if ended.code != expected:
        refused(ended, f"promoting {version.reference} to {to} (expected exit {expected})")
    return Promotion.read(ended.json)


def _figures(promotion: Promotion, *metrics: str) -> str:
    shown = [
        f"{line.metric}{f' of {line.attribute}' if line.attribute else ''} {line.value:.3g}"
        for line in promotion.requirements
        if line.metric in metrics and line.value is not None
    ]
    return ", ".join(shown)


def _pass(stage: Stage, version: ModelVersion, to: str, reason: str) -> None:
    promotion = _promote(stage, version, to, reason, expected=0)
    hold(promotion.effective and not promotion.failed, f"{version.reference} is not effective in {to}")
    figures = _figures(promotion, "schema_mismatches", "accuracy", "baseline_gain", "row_overlap")
    stage.tell(
        f"{version.reference} reached {to}: {len(promotion.requirements)} requirements within policy ({figures})."
    )


def _ratio(promotion: Promotion) -> float:
    lines = [line for line in promotion.requirements if line.metric == RATIO and line.attribute == "sex"]
    hold(len(lines) == 1 and lines[0].value is not None, f"there is not one {RATIO} of sex")
    return float(lines[0].value or 0.0)


def _refused_at_homologation(stage: Stage, version: ModelVersion) -> Promotion:
    promotion = _promote(stage, version, "homologation", "meant for the care programme", expected=1)
    failed = [(line.metric, line.attribute, line.verdict) for line in promotion.failed]
    hold(promotion.state == "refused", f"{version.reference} is {promotion.state}")
    hold(failed == [(RATIO, "sex", "failed")], f"refused, but for other reasons: {failed}")
    ratio = _ratio(promotion)
    hold(abs(ratio - MEASURED["without"]) < TOLERANCE, f"the ratio is {ratio}, not {MEASURED['without']}")
    texts = [reason.text for reason in promotion.reasons]
    figure = f"{ratio:.4g}"
    hold(any(figure in text and "0.8" in text for text in texts), f"no reason tells the figures: {texts}")
    stage.tell(
        f"{version.reference} was refused at homologation, although it does not see sex: the selection rates of "
        f"the sexes have a ratio of {ratio:.3f}, the policy asks for 0.80. As the requester reads it:"
    )
    for text in texts:
        stage.say(f"       {text}")
    return promotion


def _awaited_at(stage: Stage, version: ModelVersion, to: str) -> Promotion:
    promotion = _promote(stage, version, to, "within policy in every check so far", expected=4)
    hold(promotion.state == "awaiting_approval", f"{version.reference} is {promotion.state}, not waiting")
    hold(not promotion.failed, f"something is not within policy: {promotion.failed}")
    ratio = _ratio(promotion)
    hold(abs(ratio - MEASURED["with"]) < TOLERANCE, f"the ratio is {ratio}, not {MEASURED['with']}")
    missing = ", ".join(f"{slot.missing} {slot.role}" for slot in promotion.approvals if slot.missing)
    share = _figures(promotion, "sensitive_attribution_share")
    stage.tell(
        f"{version.reference}, which sees sex, has a ratio of {ratio:.3f}"
        f"{f' ({share})' if share else ''}: all {len(promotion.requirements)} requirements for {to} are within "
        f"policy; it waits for {missing}."
    )
    return promotion


def _no_self_approval(stage: Stage, promotion: Promotion) -> None:
    ana = stage["ana"].crivo
    try:
        ana.decide(promotion.id, "approve", reason="I made it", dossier_digest=promotion.dossier_digest)
    except Refused as refusal:
        hold(
            (refusal.status, refusal.code) == (403, "separation_of_duties"),
            f"Ana was refused as {refusal.status} {refusal.code}",
        )
        said = refusal.detail
    else:
        raise NotHeldError("Ana approved her own version")
    try:
        stage["pipeline"].crivo.decide(
            promotion.id, "approve", reason="automatic", dossier_digest=promotion.dossier_digest
        )
    except Refused as refusal:
        hold(refusal.status == 403, f"the pipeline's approval was refused as {refusal.status}")
    else:
        raise NotHeldError("a service token approved")
    now = ana.promotion(promotion.id)
    hold(now.state == "awaiting_approval", f"after a refused approval it is {now.state}")
    hold(all(slot.given == 0 for slot in now.approvals), "a refused approval was counted")
    stage.tell(
        f"Ana, a validator as well, wanted to approve it for {promotion.to} and was refused (403): {said}"
    )


def _approve(stage: Stage, who: str, promotion: Promotion) -> None:
    stale = "sha256:" + "f" * 64
    ended = stage[who].command("approve", promotion.id, "--reason", "not read", "--dossier", stale, "--json")
    hold(
        ended.code == 1 and ended.json["code"] == "dossier_changed",
        f"a stale dossier was not refused: {ended}",
    )
    ended = stage[who].command(
        *("approve", promotion.id, "--dossier", promotion.dossier_digest, "--json"),
        *("--reason", "Read the dossier: disparity within policy, reason for using sex given."),
    )
    if ended.code != 0:
        refused(ended, f"{who} approving")
    stage.tell(
        f"{who.capitalize()} approved it for {promotion.to} as {ended.json['role']}, on the dossier "
        f"{promotion.dossier_digest[:19]}…; on another dossier it was refused (409)."
    )


def _one_is_not_enough(stage: Stage, promotion: Promotion) -> None:
    now = stage["bia"].crivo.promotion(promotion.id)
    missing = {slot.role: slot.missing for slot in now.approvals}
    hold(now.state == "awaiting_approval", f"with one approval of two it is {now.state}")
    hold(missing == {"validator": 0, "approver": 1}, f"missing: {missing}")


def _effective(stage: Stage, promotion: Promotion) -> Promotion:
    """Effective and attested; the receipt proves that the grant is in the signed log."""
    now = stage["pipeline"].crivo.wait(promotion.id, seconds=EFFECTIVE)
    hold(now.state == "granted", f"it is {now.state}, not granted")
    hold(now.effective, "it did not become effective: is the notary running?")
    hold(now.attestation is not None, "it was not attested: is the notary running?")
    vkey = stage.keep / "vkey"
    if not vkey.exists():
        vkey.write_text(stage["clara"].crivo.vkey() + "\n", encoding="utf-8")
    receipt = stage.folder / f"{now.to}.tlog-proof"
    receipt.write_bytes(stage["pipeline"].crivo.receipt(now.id))
    code, said = proofs.verify(receipt, vkey)
    hold(code == 0, f"the receipt does not verify: {said}")
    stage.tell(
        f"The promotion of {now.reference} to {now.to} is effective since {now.effective_at}; its receipt: "
        f"{said.splitlines()[0]}."
    )
    return now


# The gate, the proofs, the trail


def _gate(stage: Stage, prepared: Prepared, *, open_for: str | None) -> None:
    """Asked with the files themselves, as a deploy job would, and with a digest nobody registered."""
    answers = {}
    for name, path in prepared.files.artifacts.items():
        ended = stage["pipeline"].command("gate", path, "--environment", "production", "--json")
        hold(ended.code in (0, 1), f"the gate did not answer: {ended}")
        hold(ended.json["allowed"] is (ended.code == 0), "exit code and answer of the gate differ")
        answers[name] = ended
        hold(
            ended.json["allowed"] is (name == open_for),
            f"the gate says {ended.json['allowed']} for {name}: {ended.out}",
        )
        if not ended.json["allowed"]:
            codes = [reason["code"] for reason in ended.json["reasons"]]
            hold(codes == ["not_promoted"], f"the gate is closed for {codes}")
    ended = stage["pipeline"].command("gate", NOBODY, "--environment", "production", "--json")
    codes = [reason["code"] for reason in ended.json["reasons"]]
    hold(ended.code == 1 and codes == ["unknown_digest"], f"the gate on an unknown digest: {ended}")
    if open_for is None:
        stage.tell("The gate says no to both model files in production: neither was promoted there yet.")
        return
    digest = prepared.versions[open_for].artifact_digest
    stage.tell(
        f"The gate says yes to {digest[:19]}… in production, and no to the refused version and to a digest "
        "nobody registered."
    )


def _outsider(stage: Stage, promotion: Promotion) -> None:
    davi = stage["davi"].crivo
    try:
        davi.promotion(promotion.id)
    except Refused as refusal:
        hold(refusal.status == 404, f"Davi got {refusal.status}, which tells him that it exists")
    else:
        raise NotHeldError("Davi of another workspace sees the promotion")
    hold(davi.promotions() == [], "Davi sees promotions")
    hold(davi.events(limit=500, verb="promotion.granted") == [], "Davi sees grants in the trail")
    stage.tell("Davi, of another workspace, finds nothing: 404 for the promotion, no rows in any list.")


def _proofs(stage: Stage, version: ModelVersion, granted: Promotion) -> None:
    pipeline = stage["pipeline"]
    jwks = pipeline.crivo.jwks()
    (stage.keep / "jwks.json").write_text(json.dumps(jwks, indent=1) + "\n", encoding="utf-8")
    folder = stage.keep / "attestations"
    folder.mkdir(exist_ok=True)
    effective = [row for row in pipeline.crivo.promotions(model=version.name) if row.effective]
    hold(len(effective) == 6, f"{len(effective)} promotions are effective, not 6")
    for row in effective:
        ended = pipeline.command("attestation", row.id)
        if ended.code != 0:
            refused(ended, f"the attestation of {row.reference} in {row.to}")
        path = folder / f"{row.model}-{row.n}-{row.to}.intoto.jsonl"
        path.write_text(ended.out, encoding="utf-8")
        statement = _attested(path, jwks)
        digests = [item["digest"]["sha256"] for item in statement["subject"]]
        if row.id == granted.id:
            wanted = version.artifact_digest.removeprefix("sha256:")
            hold(wanted in digests, f"it attests {digests}, not {wanted}")
    path = folder / f"{granted.model}-{granted.n}-{granted.to}.intoto.jsonl"
    envelope = json.loads(path.read_text(encoding="utf-8"))
    payload = envelope["payload"]
    envelope["payload"] = ("B" if payload[20] == "A" else "A").join((payload[:20], payload[21:]))
    try:
        proofs.attested(json.dumps(envelope).encode(), jwks)
    except proofs.ProofError:
        pass
    else:
        raise NotHeldError("an altered attestation verifies")
    stage.tell(
        f"All {len(effective)} attestations verify offline with the published key (DSSE, ECDSA P-256); that for "
        "production names this artefact; with one letter changed it does not verify."
    )


def _attested(path: Path, jwks: dict[str, object]) -> dict[str, list[dict[str, dict[str, str]]]]:
    try:
        return proofs.attested(path.read_bytes(), jwks)
    except proofs.ProofError as error:
        raise NotHeldError(f"{path.name} does not verify: {error}") from error


def _export(stage: Stage, folder: Path) -> Ended:
    return stage["clara"].command("audit", "export", folder, "--json")


def _trail(stage: Stage) -> None:
    ended = stage["bruno"].command("audit", "export", stage.folder / "not-for-bruno", "--json")
    hold(
        ended.code == 1 and (ended.json["status"], ended.json["code"]) == (403, "not_permitted"),
        f"Bruno, no auditor, was not refused an export: {ended}",
    )
    (stage.folder / "checkpoint").write_bytes(stage["clara"].crivo.checkpoint())
    folder = stage.keep / "export"
    ended = _export(stage, folder)
    if ended.code != 0:
        refused(ended, "Clara exporting the trail")
    code, said = proofs.verify(folder, stage.keep / "vkey", stage.folder / "checkpoint")
    hold(code == 0, f"the verifier does not accept the export: {said}")
    counts = tamper.verbs_of(folder)
    for verb, least in (("promotion.granted", 6), ("promotion.refused", 1), ("promotion.decided", 5)):
        hold(counts.get(verb, 0) >= least, f"the export has {counts.get(verb, 0)} of {verb}, not {least}")
    stage.tell(
        f"Clara exported the trail and the stand-alone verifier accepts it: {said.splitlines()[0]}. "
        f"{sum(counts.values())} events, among them {counts['promotion.granted']} grants, "
        f"{counts['promotion.refused']} refusal and {counts['promotion.decided']} decisions, wanted or made."
    )


def _tampering(stage: Stage, superuser_database_url: str) -> None:
    vkey = stage.keep / "vkey"
    changed = tamper.one_byte(stage.keep / "export", stage.folder / "one-byte", of_verb="promotion.refused")
    code, said = proofs.verify(stage.folder / "one-byte", vkey)
    hold(code == 1, f"one changed byte was not caught (exit {code}): {said}")
    stage.tell(f"One byte changed in a copy of the export ({changed}) is caught: {_complaint(said)}")
    with tamper.event_rewritten(
        superuser_database_url, verb="promotion.refused", into="promotion.granted"
    ) as event:
        ended = _export(stage, stage.folder / "rewritten")
        if ended.code == 0:
            code, said = proofs.verify(stage.folder / "rewritten", vkey)
            hold(code == 1, f"a rewritten event was not caught (exit {code}): {said}")
            found = _complaint(said)
        else:
            hold(ended.code == 3 and ended.json["code"] == "export_failed", f"exporting failed: {ended}")
            found = str(ended.json["detail"])
        stage.tell(
            f"The database's superuser switched the triggers off and made the refusal (event {event}) a grant: "
            f"a fresh export shows it: {found}"
        )
    shutil.rmtree(stage.folder / "rewritten", ignore_errors=True)
    ended = _export(stage, stage.folder / "restored")
    if ended.code != 0:
        refused(ended, "exporting after the row was put back")
    code, said = proofs.verify(stage.folder / "restored", vkey, stage.keep / "export" / "checkpoint")
    hold(code == 0, f"after the row was put back it does not verify: {said}")
    stage.tell("With the row put back, a fresh export verifies again, and the log only grew since the first.")


def _complaint(said: str) -> str:
    """The first thing the verifier complains about."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if line.endswith("]")), lines[-1] if lines else "")
