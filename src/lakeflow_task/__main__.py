"""`python -m lakeflow_task PARAMETERS`: the runner without a Databricks around it."""

from __future__ import annotations

from lakeflow_task.main import main

if __name__ == "__main__":
    main()
