"""Tables of the database, as the migrations that create them."""

from __future__ import annotations

FIRST_SCHEMA = """
CREATE TABLE sequences (name TEXT PRIMARY KEY, last INTEGER NOT NULL);

CREATE TABLE jobs (
    job_id INTEGER PRIMARY KEY,
    name_key TEXT NOT NULL,          -- the casefolded name: list's filter ignores case
    settings TEXT NOT NULL,
    created INTEGER NOT NULL         -- times are milliseconds since 1970
);
CREATE INDEX jobs_by_name ON jobs (name_key, job_id);

CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    settings TEXT NOT NULL,          -- of the job, when it was triggered
    trigger TEXT NOT NULL,
    phase TEXT NOT NULL,
    result TEXT,
    code TEXT,
    code_type TEXT,
    message TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    ended INTEGER
);
CREATE INDEX runs_by_time ON runs (coalesce(ended, created), run_id);
CREATE INDEX runs_by_job ON runs (job_id, coalesce(ended, created), run_id);
CREATE INDEX runs_unfinished ON runs (job_id, run_id) WHERE ended IS NULL;

CREATE TABLE task_runs (
    run_id INTEGER PRIMARY KEY,
    job_run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    task_key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    task TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    phase TEXT NOT NULL,
    result TEXT,
    code TEXT,
    code_type TEXT,
    message TEXT NOT NULL DEFAULT '',
    error TEXT,
    error_trace TEXT,
    parameters TEXT,                 -- resolved when the task started
    created INTEGER NOT NULL,
    not_before INTEGER NOT NULL,     -- a retry waits until then
    executing INTEGER,
    ended INTEGER,
    canceled INTEGER NOT NULL DEFAULT 0,
    pid INTEGER,
    pid_started TEXT
);
CREATE INDEX task_runs_by_run ON task_runs (job_run_id, run_id);
CREATE INDEX task_runs_unfinished ON task_runs (run_id) WHERE ended IS NULL;

CREATE TABLE idempotency_tokens (token TEXT PRIMARY KEY, run_id INTEGER NOT NULL);

CREATE TABLE clusters (
    cluster_id TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    state_message TEXT NOT NULL DEFAULT '',
    environment TEXT,                -- key of the environment of the running driver
    created INTEGER NOT NULL,
    started INTEGER,
    active INTEGER NOT NULL,         -- when it was last used
    terminated INTEGER,
    termination TEXT
);
CREATE TABLE cluster_libraries (
    position INTEGER PRIMARY KEY,
    cluster_id TEXT NOT NULL REFERENCES clusters ON DELETE CASCADE,
    library TEXT NOT NULL,           -- canonical JSON
    status TEXT NOT NULL,
    messages TEXT NOT NULL DEFAULT '[]',
    UNIQUE (cluster_id, library)
);
CREATE TABLE cluster_events (
    position INTEGER PRIMARY KEY,
    cluster_id TEXT NOT NULL REFERENCES clusters ON DELETE CASCADE,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX cluster_events_by_cluster ON cluster_events (cluster_id, position);

CREATE TABLE volumes (
    catalog TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL,
    PRIMARY KEY (catalog, schema, name)
);

CREATE TABLE dbfs_handles (
    handle INTEGER PRIMARY KEY, path TEXT NOT NULL, draft TEXT NOT NULL
);

CREATE TABLE secret_scopes (name TEXT PRIMARY KEY);
CREATE TABLE secrets (
    scope TEXT NOT NULL REFERENCES secret_scopes ON DELETE CASCADE,
    key TEXT NOT NULL COLLATE NOCASE,
    value BLOB NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE TABLE secret_acls (
    scope TEXT NOT NULL REFERENCES secret_scopes ON DELETE CASCADE,
    principal TEXT NOT NULL,
    permission TEXT NOT NULL,
    PRIMARY KEY (scope, principal)
);
"""

SEVERAL_TASKS = """
ALTER TABLE runs ADD COLUMN run_type TEXT NOT NULL DEFAULT 'JOB_RUN';
-- From the timeout of the run; NULL without one.
ALTER TABLE runs ADD COLUMN deadline INTEGER;
-- CANCELED or TIMEDOUT: why a run is being stopped.
ALTER TABLE runs ADD COLUMN stopping TEXT;
CREATE INDEX runs_by_deadline ON runs (deadline) WHERE ended IS NULL AND deadline IS NOT NULL;

-- NULL: part of the original run.
ALTER TABLE task_runs ADD COLUMN repair_id INTEGER;
-- The run of the for-each task, and the index of the input, from 0.
ALTER TABLE task_runs ADD COLUMN iteration_of INTEGER;
ALTER TABLE task_runs ADD COLUMN iteration INTEGER;
-- JSON: the resolved list of a for-each run, or the one input of an iteration.
ALTER TABLE task_runs ADD COLUMN input TEXT;
CREATE INDEX task_runs_iterations ON task_runs (iteration_of) WHERE iteration_of IS NOT NULL;

CREATE TABLE repairs (
    repair_id INTEGER PRIMARY KEY,
    job_run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    type TEXT NOT NULL,              -- REPAIR, or ORIGINAL: added with the first repair
    phase TEXT NOT NULL,
    result TEXT,
    code TEXT,
    code_type TEXT,
    message TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    ended INTEGER
);
CREATE INDEX repairs_by_run ON repairs (job_run_id, repair_id);

CREATE TABLE task_values (
    task_run_id INTEGER NOT NULL REFERENCES task_runs ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,             -- JSON
    PRIMARY KEY (task_run_id, key)
);

-- Job clusters: their run, and either the key that tasks share or the one task run.
ALTER TABLE clusters ADD COLUMN job_run_id INTEGER;
ALTER TABLE clusters ADD COLUMN job_cluster_key TEXT;
ALTER TABLE clusters ADD COLUMN task_run_id INTEGER;
CREATE INDEX clusters_of_runs ON clusters (job_run_id) WHERE state != 'TERMINATED';

CREATE TABLE permissions (
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,    -- user_name, group_name or service_principal_name
    principal TEXT NOT NULL,
    level TEXT NOT NULL,
    PRIMARY KEY (object_type, object_id, principal_kind, principal)
);
"""

LONG_HISTORY = """
-- Lists, in their order: the few among many finished runs.
CREATE INDEX runs_active ON runs (coalesce(ended, created), run_id) WHERE ended IS NULL;
CREATE INDEX runs_active_by_job ON runs (job_id, coalesce(ended, created), run_id)
    WHERE ended IS NULL;
CREATE INDEX runs_by_type ON runs (run_type, coalesce(ended, created), run_id);
CREATE INDEX task_runs_delayed ON task_runs (not_before)
    WHERE ended IS NULL AND not_before > created;
"""

SCHEDULES = """
CREATE TABLE schedules (
    job_id INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    due INTEGER NOT NULL             -- when the next scheduled run starts
);
CREATE INDEX schedules_by_time ON schedules (due);
"""

GRANT_DEFAULT_VOLUME = """
INSERT OR IGNORE INTO permissions VALUES
    ('volumes', 'main.default.lakeflow', 'group_name', 'account users', 'READ_VOLUME,WRITE_VOLUME')
"""

PRINCIPALS = f"""
CREATE TABLE principals (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    is_admin INTEGER NOT NULL,
    token TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
);
-- User names or ids of service principals; NULL is the owner of the workspace.
ALTER TABLE jobs ADD COLUMN creator TEXT;
ALTER TABLE runs ADD COLUMN creator TEXT;
ALTER TABLE runs ADD COLUMN owner TEXT;
ALTER TABLE clusters ADD COLUMN creator TEXT;
ALTER TABLE volumes ADD COLUMN owner TEXT;
CREATE INDEX permissions_by_principal ON permissions (object_type, principal);
{GRANT_DEFAULT_VOLUME};
"""

PINS = "ALTER TABLE clusters ADD COLUMN pinned_by TEXT;\n"

MANY_ITERATIONS = """
CREATE INDEX task_runs_by_iteration ON task_runs (iteration_of, iteration)
    WHERE iteration_of IS NOT NULL;
CREATE INDEX task_runs_active_iterations ON task_runs (iteration_of)
    WHERE iteration_of IS NOT NULL AND ended IS NULL;
"""

SCHEMAS = (
    FIRST_SCHEMA,
    SEVERAL_TASKS,
    LONG_HISTORY,
    SCHEDULES,
    PRINCIPALS,
    PINS,
    MANY_ITERATIONS,
)
"""Migrations in order: a database whose `user_version` is `n` has had the first `n`."""
