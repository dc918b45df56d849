"""Every page of the console with what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from tests.governance.addresses import ANYWHERE, AUDIT, EXPLAIN, MODEL, PRIVACY, READ, WORKSPACE
from tests.governance.ground import Ground


@dataclass(frozen=True)
class Screen:
    """A page of the console; like Call, with `args` from the ground and `post`, what is sent to it. Of several actions
    in `sees` or `does` one is enough.
    """

    args: tuple[str, ...] = ()
    post: dict[str, str] | None = None
    sees: str | tuple[str, ...] | None = None
    does: str | tuple[str, ...] | None = None
    refused: int = 403  # 302: back to the page, with what the service said
    on: str = ""  # as in Call; by default what `args` belong to
    also: tuple[int, ...] = ()  # what else whoever may gets: a refusal for another reason than their roles

    @property
    def belongs(self) -> str:
        return self.on or (MODEL if OF_MODEL.intersection(self.args) else WORKSPACE)

    @property
    def shown(self) -> tuple[str, ...]:
        """The use case of a model and its policies are shown to who may read the model."""
        return (MODEL,) if {"use_case", "policy"}.intersection(self.args) else (self.belongs,)


OF_MODEL = {"promotion_id", "finding_id", "explanation_id", "model"}
WHO, HOOK = "access.read", "webhook.manage"
SCREENS: dict[str, Screen] = {
    "inbox": Screen(),
    "workspace": Screen(post={"workspace": "nowhere"}, also=(404,)),
    "promotion": Screen(("promotion_id",), sees=READ),
    "decide": Screen(
        ("promotion_id",),
        {"verdict": "approve", "reason": "r", "dossier_digest": "sha256:0", "key": "k"},
        sees=READ,
        does="promotion.decide",
        also=(403,),  # an approver: the policy has no place for them
    ),
    "roles": Screen(),
    "who-could": Screen(does=WHO),
    "recertify": Screen(("binding_id",), {"reason": " "}, sees=WHO, does="role.recertify"),
    "people": Screen(does=WHO),
    "use-case": Screen(("use_case",), sees=READ),
    "as_of": Screen(does=AUDIT, on=ANYWHERE),
    "findings": Screen(),  # what may not be read is not listed
    "watch": Screen(
        ("finding", "finding_id", "close"),
        {"holds": "yes", "text": ""},
        sees=READ,
        does="finding.close",
    ),
    "open_finding": Screen(("promotion_id",), {"text": ""}, sees=READ, does="finding.open", refused=302),
    "ask_waiver": Screen(("promotion_id",), {"reason": ""}, sees=READ, does="waiver.request", refused=302),
    "break_glass": Screen(
        ("promotion_id",), {"reason": ""}, sees=READ, does="placement.break_glass", refused=302
    ),
    "invite": Screen(("promotion_id",), {"email": ""}, sees=READ, does="signoff.invite", refused=302),
    "trail": Screen(does=AUDIT, on=ANYWHERE),
    "trail_exports": Screen(does="audit.export"),
    "trail_export": Screen(("export_id",), sees="audit.export", also=(404,)),  # not made yet
    "preferences": Screen(),
    "webhooks": Screen(does=HOOK),
    "webhook": Screen(("webhook_id",), {}, sees=HOOK),
    "policies": Screen(does=READ, on=ANYWHERE),
    "policy_change": Screen(("change_id",), sees=READ),
    "policy_change_decide": Screen(
        ("change_id",), {"verdict": "reject", "reason": "", "digest": ""}, sees=READ, does="policy.decide"
    ),
    "policy_version": Screen(("policy", "n"), sees=READ),
    "policy_acknowledge": Screen(("policy", "n"), {}, sees=READ, does="policy.acknowledge", on=ANYWHERE),
    "use-cases": Screen(),  # what may not be read is not listed
    "intake": Screen(does="use_case.register"),
    "use-case-edit": Screen(("use_case",), sees=READ, does="use_case.edit"),
    "use-case-tier": Screen(
        ("use_case",), {"n": "1", "risk_tier": "high", "reason": ""}, sees=READ, does="use_case.set_tier"
    ),
    "give-role": Screen(post={"role": ""}, does="role.bind", on=ANYWHERE),
    "take-role": Screen(("binding_id",), {}, sees=WHO, does="role.bind"),
    "new-group": Screen(post={"name": ""}, does="group.manage"),
    "group-member": Screen(("group",), {"person": "nobody"}, sees=WHO, does="group.manage"),
    "new-person": Screen(post={"username": ""}, does="person.manage"),
    "account": Screen(("username",), {"reason": ""}, sees=WHO, does="person.manage"),
    "privacy": Screen(does=PRIVACY),
    "erase-person": Screen(("person",), {"reason": "r", "confirm": ""}, sees=PRIVACY, does="person.erase"),
    "place-hold": Screen(("person",), {"reason": ""}, sees=PRIVACY, does="hold.manage"),
    "lift-hold": Screen(("hold_id",), {"reason": ""}, sees=PRIVACY, does="hold.manage"),
    "tokens": Screen(),  # one's own; more for who may read about access
    "revoke-token": Screen(("token_id",), {}, sees=WHO, does="token.issue"),
    "explanations": Screen(("model", "n"), sees=READ),
    "sbom": Screen(("model", "n"), sees=READ),
    "explanation": Screen(("explanation_id",), sees=EXPLAIN),
}


def one_of(wanted: str | tuple[str, ...], actions: frozenset[str]) -> bool:
    return not actions.isdisjoint((wanted,) if isinstance(wanted, str) else wanted)


def address_of(name: str, ground: Ground) -> str:
    ids = {**ground.ids, "use_case": "care", "policy": "study-homologation", "n": "1", "group": "board"}
    ids["model"] = "progression"
    return reverse(f"admin:{name}", args=[ids.get(arg, arg) for arg in SCREENS[name].args])
