HOST: str
TOKEN: str
JOB_RUN_ID: int
TASK_RUN_ID: int
PARAMETERS: dict[str, str]
BEHAVIORS: list[str]
