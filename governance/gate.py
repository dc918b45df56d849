"""The question a deploy job asks: may this artefact run in this environment, now or then? Default is no.

*Now* is read from the rows. *Then* (`at`) is what was answered at that moment: a placement's or version's state is that
of its last event by then, and a grant counts from the first published checkpoint that holds its event. An event's time
is taken inside its transaction, so the two agree but for the length of a commit (milliseconds).

However many questions are asked together, they cost the same number of queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from audits.checks.contract import Message
from governance import standings as known
from governance.models import Environment, Grandfathered, Placement
from governance.standings import Moment
from governance.states import PlacementState
from registry.models import ModelVersion
from registry.states import VersionState


@dataclass(frozen=True)
class Question:
    digest: str
    environment: str
    model: str = ""


@dataclass(frozen=True)
class Standing:
    """One placement and what it says about the digest. `state` is the one it has or had at the time asked about."""

    placement: Placement
    allowed: bool
    reason: Message
    effective_at: datetime | None
    state: str = ""


@dataclass(frozen=True)
class Answer:
    allowed: bool
    reasons: list[Message]
    standings: list[Standing] = field(default_factory=list)
    grandfathered: Grandfathered | None = None


def ask(
    workspace: UUID,
    digest: str,
    environment: str,
    model: str = "",
    at: datetime | None = None,
    among: Collection[UUID] | None = None,
) -> Answer:
    """Every well-formed question has an answer; whatever is unknown, not effective or contradictory is a no."""
    return ask_all(workspace, [Question(digest, environment, model)], at, among)[0]


def ask_all(
    workspace: UUID,
    questions: Sequence[Question],
    at: datetime | None = None,
    among: Collection[UUID] | None = None,
) -> list[Answer]:
    """The answers, in the order of the questions, all of one moment of the database.

    `among`: the models that whoever asks may ask about (None: all). What is of another is as unknown as what is not
    there.
    """
    moment = known.moment(at)
    digests = {question.digest for question in questions}
    versions: dict[str, list[ModelVersion]] = defaultdict(list)
    found = ModelVersion.objects.filter(workspace_id=workspace, artifact_digest__in=digests)
    if at is not None:
        found = found.filter(created_at__lte=at)
    if among is not None:
        found = found.filter(model_id__in=among)
    for version in found.select_related("model").order_by("-id"):
        versions[version.artifact_digest].append(version)
    environments = {
        row.name: row
        for row in Environment.objects.filter(
            workspace_id=workspace, name__in={question.environment for question in questions}
        )
    }
    placed = _placed(moment, versions, environments)
    tolerated = [
        row
        for row in known.grandfathered(workspace, digests, moment)
        if among is None or row.entry.model_id in among
    ]
    return [_answer(question, versions, environments, placed, tolerated, moment) for question in questions]


Placed = dict[tuple[UUID, UUID], list[Standing]]


def _placed(
    moment: Moment, versions: dict[str, list[ModelVersion]], environments: dict[str, Environment]
) -> Placed:
    wanted = [version for rows in versions.values() for version in rows]
    chains = known.chains([row.id for row in wanted], [row.id for row in environments.values()], moment)
    version_states = known.version_states(wanted, moment)
    placed: Placed = defaultdict(list)
    for row in chains.asked:
        standing = _standing(row, chains, version_states)
        if standing is not None:
            placed[row.version_id, row.environment_id].append(standing)
    return placed


def of_version(version: ModelVersion, environment: Environment) -> Answer:
    """The same question for one version, whatever other versions have the same artefact."""
    moment = known.moment(None)
    placed = _placed(moment, {"": [version]}, {environment.name: environment})
    standings = placed.get((version.id, environment.id), [])
    return _decide(sorted(standings, key=lambda row: row.placement.id, reverse=True), environment.name)


def of_placement(placement: Placement) -> Standing:
    """What one placement says now, by itself."""
    version, environment = placement.version, placement.environment
    placed = _placed(known.moment(None), {"": [version]}, {environment.name: environment})
    return next(row for row in placed[version.id, environment.id] if row.placement.id == placement.id)


def _standing(placement: Placement, chains: known.Chains, version_states: dict[UUID, str]) -> Standing | None:
    state = chains.state(placement)
    if state is None:
        return None  # granted only later
    since = chains.effective_at(placement)
    about = {"version": placement.version.label, "environment": placement.environment.name}

    def closed(code: str) -> Standing:
        return Standing(placement, False, Message(code, about), since, state)

    version_state = version_states[placement.version_id]
    if version_state != VersionState.REGISTERED:
        return closed(f"version_{version_state}")
    if state in (PlacementState.SUSPENDED, PlacementState.WITHDRAWN):
        return closed(f"placement_{state}")
    if since is None:
        return closed("not_effective_yet")
    for lifted in chains.reinstatements(placement):
        if lifted is None:
            return closed("reinstatement_not_effective_yet")
        since = max(since, lifted)
    # Until its successor is effective the predecessor stays allowed: there is no moment with no answer.
    if state == PlacementState.SUPERSEDED and not chains.stands_in(placement):
        return closed("superseded")
    return Standing(placement, True, Message("allowed", about), since, state)


def _answer(
    question: Question,
    versions: dict[str, list[ModelVersion]],
    environments: dict[str, Environment],
    placed: Placed,
    tolerated: Iterable[known.Tolerated],
    moment: Moment,
) -> Answer:
    environment = environments.get(question.environment)
    meant: Callable[[str], bool] = lambda name: not question.model or name == question.model  # noqa: E731
    rows = [row for row in versions.get(question.digest, ()) if meant(row.model.name)]
    excused = [
        row
        for row in tolerated
        if row.entry.artifact_digest == question.digest and meant(row.entry.model.name)
    ]
    if not rows and not excused:
        return Answer(False, [Message("unknown_digest", {"digest": question.digest})])
    if environment is None:
        return Answer(False, [Message("unknown_environment", {"name": question.environment})])
    standings = sorted(
        (standing for row in rows for standing in placed.get((row.id, environment.id), ())),
        key=lambda standing: standing.placement.id,
        reverse=True,
    )
    # A placement says more than that something ran before Crivo came: where there is one, it decides.
    if not standings:
        for row in excused:
            if row.entry.environment_id == environment.id:
                return _tolerated(row, moment)
    return _decide(standings, question.environment)


def _tolerated(row: known.Tolerated, moment: Moment) -> Answer:
    allowed, code = row.verdict(moment)
    about = {
        "version": row.entry.label,
        "environment": row.entry.environment.name,
        "deadline": row.entry.deadline.isoformat(),
    }
    return Answer(allowed, [Message(code, about)], grandfathered=row.entry)


OVER = frozenset({"superseded", "placement_withdrawn"})


def _is_stopped(standing: Standing) -> bool:
    """Suspended, or reinstated and not effective yet."""
    return standing.reason.code in (
        "placement_suspended",
        "version_suspended",
        "reinstatement_not_effective_yet",
    )


def _decide(standings: list[Standing], environment: str) -> Answer:
    if not standings:
        return Answer(False, [Message("not_promoted", {"environment": environment})])
    allowed = [standing for standing in standings if standing.allowed]
    stopped = [row for row in standings if _is_stopped(row) and row.state != PlacementState.WITHDRAWN]
    if allowed and stopped:
        labels = sorted({row.placement.version.label for row in [*allowed, *stopped]})
        return Answer(False, [Message("ambiguous", {"versions": labels})], standings)
    if allowed:
        return Answer(True, [], allowed)
    # What is still to come or was stopped says more than what is over.
    telling = next((row for row in standings if row.reason.code not in OVER), standings[0])
    return Answer(False, [telling.reason], standings)
