"""Build the demo and run it four times side by side, from Python, in the root of this repo.

./pants run examples/run_lakeflow_demo.py
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from lakeflow import Launcher

DEMO = Path("src/lakeflow_demo")
MODELS = ["knn --neighbors 1", "knn --neighbors 9", "logistic --c 0.01", "logistic --c 1.0"]


def main() -> None:
    """Create the job, start the runs, wait for them, and compare what they left."""
    launcher = Launcher()
    job = launcher.create_job_from_source("lakeflow-demo", "lakeflow-demo", DEMO, max_workers=4)
    assert job.job_id is not None  # only a dry run has none
    started = [launcher.trigger_run(job.job_id, model.split()) for model in MODELS]

    scores = {}
    for run in launcher.wait([run.run_id for run in started]):
        if run.status == "succeeded":
            with TemporaryDirectory() as folder:
                launcher.runs.outputs(run.run_id, download_to=Path(folder))
                result = json.loads(Path(folder, "result.json").read_text())
            scores[" ".join(run.argv)] = result["score"]

    for model, score in sorted(scores.items(), key=lambda item: -item[1]):
        print(f"{score:.4f}  {model}")


if __name__ == "__main__":
    main()
