"""The question a deploy job asks: may this artefact run in this environment, now or then? Default is no.

*Now* is read from the rows. *Then* (`at`) is what was answered at that moment: a placement's or version's state is that
of its last event by then, and a grant counts from the first published checkpoint that holds its event. An event's time
is taken inside its transaction, so the two agree but for the length of a commit (milliseconds). What stands against a
grant (findings, conditions, waivers, re-reviews) and what was let through by breaking the glass are read the same way.

However many questions are asked together, they cost the same number of queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from audits.checks.contract import Message
from governance import glass
from governance import standings as known
from governance.hindrances import Hindrances, hindrances
from governance.models import Environment, Grandfathered, Placement
from governance.prepared import prepared
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
    """One placement and what it says about the digest. `state` is the one it has or had at the time asked about.

    `stands`: nobody ended or stopped it, and it is effective; whether anything stands against it is another question.
    """

    placement: Placement
    allowed: bool
    reason: Message
    effective_at: datetime | None
    state: str = ""
    hindrances: Hindrances = field(default_factory=Hindrances)

    @property
    def stands(self) -> bool:
        return self.allowed or bool(self.hindrances.shut)


@dataclass(frozen=True)
class Answer:
    """`break_glass`: refused, and let through until `until` by somebody who answers for it."""

    allowed: bool
    reasons: list[Message]
    standings: list[Standing] = field(default_factory=list)
    grandfathered: Grandfathered | None = None
    warnings: list[Message] = field(default_factory=list)
    break_glass: bool = False
    until: datetime | None = None


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
    for version in _versions(workspace=workspace, digests=digests, until=at, among=among):
        versions[version.artifact_digest].append(version)
    names = {question.environment for question in questions}
    environments = {row.name: row for row in _environments(workspace=workspace, names=names)}
    placed = _placed(moment, versions, environments)
    # What ran before Crivo came is asked for only where no placement decides.
    unplaced = {
        question.digest for question in questions if not _standings(question, versions, environments, placed)
    }
    tolerated = [
        row
        for row in (known.grandfathered(workspace, unplaced, moment) if unplaced else [])
        if among is None or row.entry.model_id in among
    ]
    answers = [_answer(question, versions, environments, placed, tolerated, moment) for question in questions]
    refused = [
        (n, _meant(question, versions), environments[question.environment])
        for n, question in enumerate(questions)
        if not answers[n].allowed and question.environment in environments
    ]
    wanted = [row for _, rows, _ in refused for row in rows]
    broken = glass.broken(wanted, [environment for *_, environment in refused], moment)
    states = known.version_states(wanted, moment) if broken else {}
    for n, rows, environment in refused:
        answers[n] = _through_broken_glass(answers[n], rows, environment, broken, states)
    return answers


@prepared
def _versions(
    *, workspace: UUID, digests: Collection[str], until: datetime | None, among: Collection[UUID] | None
) -> QuerySet[ModelVersion]:
    found = ModelVersion.objects.filter(workspace_id=workspace, artifact_digest__in=digests)
    if until is not None:
        found = found.filter(created_at__lte=until)
    if among is not None:
        found = found.filter(model_id__in=among)
    return found.select_related("model").order_by("-id")


@prepared
def _environments(*, workspace: UUID, names: Collection[str]) -> QuerySet[Environment]:
    return Environment.objects.filter(workspace_id=workspace, name__in=names)


def _meant(question: Question, versions: dict[str, list[ModelVersion]]) -> list[ModelVersion]:
    rows = versions.get(question.digest, ())
    return [row for row in rows if not question.model or row.model.name == question.model]


def _through_broken_glass(
    answer: Answer,
    versions: Iterable[ModelVersion],
    environment: Environment,
    broken: glass.Broken,
    states: dict[UUID, str],
) -> Answer:
    """What was refused, unless somebody broke the glass; never against a suspension, a retirement or a withdrawal."""
    if any(states.get(row.id) == VersionState.SUSPENDED for row in versions):
        return answer
    for version in versions:
        row = broken.get((version.id, environment.id))
        if row is None or states[version.id] != VersionState.REGISTERED or stopped_there(answer, version):
            continue
        why = Message("glass_was_broken", {"version": version.label, "environment": environment.name})
        return replace(
            answer, allowed=True, reasons=[why, *answer.reasons], break_glass=True, until=row.expires_at
        )
    return answer


def stopped_there(answer: Answer, version: ModelVersion) -> bool:
    """Somebody stopped these bytes there on purpose, under whichever version; or withdrew this version there last."""
    said = [row for row in answer.standings if row.placement.version_id == version.id]
    last = max(said, key=lambda row: row.placement.id, default=None)
    return any(_is_stopped(row) for row in answer.standings) or (
        last is not None and last.state == PlacementState.WITHDRAWN
    )


Placed = dict[tuple[UUID, UUID], list[Standing]]


def _placed(
    moment: Moment, versions: dict[str, list[ModelVersion]], environments: dict[str, Environment]
) -> Placed:
    wanted = [version for rows in versions.values() for version in rows]
    chains = known.chains([row.id for row in wanted], [row.id for row in environments.values()], moment)
    version_states = known.version_states(wanted, moment)
    found = [_standing(row, chains, version_states) for row in chains.asked]
    standings = [standing for standing in found if standing is not None]
    against = hindrances([row.placement for row in standings if row.allowed], moment, chains.touched)
    placed: Placed = defaultdict(list)
    for standing in standings:
        row = standing.placement
        placed[row.version_id, row.environment_id].append(_hindered(standing, against.get(row.id)))
    return placed


def _hindered(standing: Standing, against: Hindrances | None) -> Standing:
    if against is None:
        return standing
    if against.shut:
        return replace(standing, allowed=False, reason=against.shut[0], hindrances=against)
    return replace(standing, hindrances=against)


def of_version(version: ModelVersion, environment: Environment) -> Answer:
    """The same question for one version, whatever other versions have the same artefact."""
    moment = known.moment(None)
    placed = _placed(moment, {"": [version]}, {environment.name: environment})
    standings = placed.get((version.id, environment.id), [])
    answer = _decide(sorted(standings, key=lambda row: row.placement.id, reverse=True), environment.name)
    if answer.allowed:
        return answer
    broken = glass.broken([version], [environment], moment)
    return _through_broken_glass(
        answer, [version], environment, broken, known.version_states([version], moment)
    )


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


def _standings(
    question: Question,
    versions: dict[str, list[ModelVersion]],
    environments: dict[str, Environment],
    placed: Placed,
) -> list[Standing]:
    environment = environments.get(question.environment)
    if environment is None:
        return []
    rows = _meant(question, versions)
    return [standing for row in rows for standing in placed.get((row.id, environment.id), ())]


def _answer(
    question: Question,
    versions: dict[str, list[ModelVersion]],
    environments: dict[str, Environment],
    placed: Placed,
    tolerated: Iterable[known.Tolerated],
    moment: Moment,
) -> Answer:
    environment = environments.get(question.environment)
    rows = _meant(question, versions)
    excused = [
        row
        for row in tolerated
        if row.entry.artifact_digest == question.digest
        and (not question.model or row.entry.model.name == question.model)
    ]
    if not rows and not excused:
        return Answer(False, [Message("unknown_digest", {"digest": question.digest})])
    if environment is None:
        return Answer(False, [Message("unknown_environment", {"name": question.environment})])
    standings = sorted(
        _standings(question, versions, environments, placed),
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
    against = [row for row in standings if row.hindrances.shut]
    if allowed and (stopped or against):
        labels = sorted({row.placement.version.label for row in [*allowed, *stopped, *against]})
        return Answer(False, [Message("ambiguous", {"versions": labels})], standings)
    if allowed:
        warnings = [message for row in allowed for message in row.hindrances.warnings]
        return Answer(True, [], allowed, warnings=warnings)
    # What is still to come or was stopped says more than what is over.
    telling = next((row for row in standings if row.reason.code not in OVER), standings[0])
    further = [message for message in telling.hindrances.shut if message != telling.reason]
    return Answer(False, [telling.reason, *further], standings)
