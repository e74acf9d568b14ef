"""Modules that only a cluster's Python has: `dbruntime`, pyspark's `dbutils`, IPython.

The driver offers these modules to a task under their real names. Standard library only, Python 3.9
and newer: they run in the task's Python. The driver creates `dbruntime.context`, which identifies
the task: `HOST`, `TOKEN`, `JOB_RUN_ID`, `TASK_RUN_ID`, `PARAMETERS`, the job's, and `BEHAVIORS`,
what is true of the workspace (lakeflow_local/behaviors.py).
"""

from __future__ import annotations
