"""The entry point: score one model, print the score, and leave it as a file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from lakeflow_demo.models import accuracies, knn, logistic


def main() -> None:
    """Score the model that the arguments name, by 5-fold cross-validation.

    Writes `result.json` into `LAKEFLOW_OUTPUT_DIR`, or the working folder where that is not set.
    """
    arguments = _parser().parse_args()
    run_id = os.environ.get("DATABRICKS_RUN_ID")
    print(f"argv: {sys.argv}")
    print(f"DATABRICKS_RUN_ID: {run_id}")
    if arguments.model == "knn":
        parameters = {"neighbors": arguments.neighbors}
        folds = accuracies(knn(arguments.neighbors))
    else:
        parameters = {"c": arguments.c}
        folds = accuracies(logistic(arguments.c))
    score = sum(folds) / len(folds)
    result = {
        "model": arguments.model,
        "parameters": parameters,
        "folds": folds,
        "score": score,
        "run_id": run_id,
    }
    path = Path(os.environ.get("LAKEFLOW_OUTPUT_DIR", "."), "result.json")
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"folds: {' '.join(f'{fold:.4f}' for fold in folds)}")
    print(f"score: {score:.4f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    models = parser.add_subparsers(dest="model", required=True)
    models.add_parser("knn", help="nearest neighbours").add_argument(
        "--neighbors", type=_count, default=5, metavar="K"
    )
    models.add_parser("logistic", help="logistic regression").add_argument(
        "--c", type=_penalty, default=1.0, help="inverse strength of the penalty"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _penalty(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


if __name__ == "__main__":
    main()
