"""What confinement costs: the same check in this process and in the confined child, and an empty check's overhead."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import Any

from benchmarks import ground

TIMES = 5
CHECKS = ("data.quality", "evaluation.performance", "bias.group_disparity", "explainability.shap")


def main() -> None:
    from audits.checks.execute import execute
    from audits.confine import Zygote
    from tests.checks import cast

    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    rows: list[tuple[Any, ...]] = []
    with Zygote() as zygote, ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="crivo-benchmark-"))
        for check in CHECKS:
            inputs, files = cast.given(check, model=model, training=training, evaluation=evaluation)
            paths, as_json = {}, inputs.to_json()
            for role, file in files.items():
                paths[role] = os.path.join(folder, f"{check}-{role}")
                with open(paths[role], "wb") as copy:
                    copy.write(file.read())

            def inside(given: dict[str, Any] = as_json, named: dict[str, str] = paths) -> Any:
                with ExitStack() as opened:
                    return execute(
                        given, {role: opened.enter_context(open(path, "rb")) for role, path in named.items()}
                    )

            def confined(given: dict[str, Any] = as_json, named: dict[str, str] = paths) -> Any:
                outcome = zygote.run(given, named)
                if outcome.result is None or outcome.result["outcome"] != "completed":
                    raise SystemExit(
                        f"the ground is not what it should be: {outcome.error or outcome.result}"
                    )
                return outcome.result

            if inside() != confined():
                raise SystemExit(f"{check} answers differently when confined")
            here, there = (ground.timed(call, TIMES)[TIMES // 2] for call in (inside, confined))
            rows.append((check, here, there, there - here, there / here))
    ground.table(
        f"One check, medians of {TIMES}",
        ("check", "in process ms", "confined ms", "overhead ms", "confined ÷ in process"),
        rows,
    )


if __name__ == "__main__":
    main()
