"""`python -m lakeflow_task PARAMETERS`: run a task without Databricks."""

from __future__ import annotations

from lakeflow_task.main import main

if __name__ == "__main__":
    main()
