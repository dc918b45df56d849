"""How long the service itself takes to answer the gate, beside what any authenticated answer costs.

The whole of Django, its middleware, authentication and the database are in the figure; the network is not. CPU is that
of this process and of its database process, so that a figure of a busy machine can be read, too.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks import ground

MODELS, CALLS = 60, 600


def main() -> None:
    ground.django()
    from django.test import Client

    from governance.models import Environment
    from tests import study
    from tests.cast import make_cast

    cast = make_cast()
    study.use_case_with_policies(cast)
    for name in ("homologation", "production"):
        study.put_in_force(cast, study.OPEN.format(environment=name))
    study.dataset_version(cast)
    versions = [study.model_version(cast, b"model %d" % n, name=f"model-{n}") for n in range(MODELS)]
    for environment in Environment.objects.filter(workspace=cast.workspace).order_by("position"):
        for version in versions:
            study.ask(cast, version, environment.name)
        study.sequence()
    client = Client(headers=cast.headers("pipeline"))
    digests = itertools.cycle([version.artifact_digest for version in versions])
    moment = client.get("/api/v1/gate", {"digest": next(digests), "environment": "production"}).json()
    if not moment["allowed"]:
        raise SystemExit(f"the ground is not what it should be: {moment['reasons']}")

    def one(**more: str) -> Any:
        answer = client.get("/api/v1/gate", {"digest": next(digests), "environment": "production", **more})
        if answer.status_code != 200:
            raise SystemExit(answer.content.decode())
        return answer

    def many() -> Any:
        questions = [{"digest": next(digests), "environment": "production"} for _ in range(MODELS)]
        answer = client.post("/api/v1/gate/questions", {"questions": questions}, "application/json")
        if answer.status_code != 200:
            raise SystemExit(answer.content.decode())
        return answer

    from django.utils import timezone

    past = timezone.now().isoformat()
    rows = []
    for warm in (one, many, lambda: client.get("/api/v1/me")):
        ground.timed(warm, 5)
    floor = 0.0
    for name, call, times, each in (
        ("GET me (the floor)", lambda: client.get("/api/v1/me"), CALLS, 1),
        ("GET gate, now", one, CALLS, 1),
        ("GET gate, as of a time", lambda: one(at=past), CALLS, 1),
        (f"POST gate/questions, {MODELS} at once, each", many, CALLS // 10, MODELS),
    ):
        found = ground.timed(call, times)
        p50, p99 = ground.at(found, 0.5) / each, ground.at(found, 0.99) / each
        floor = floor or p50
        rows.append((name, p50, p99, ground.spent(call, times) / each, p50 / floor))
    ground.table("The gate", ("question", "p50 ms", "p99 ms", "CPU ms", "p50 ÷ floor"), rows)


if __name__ == "__main__":
    main()
