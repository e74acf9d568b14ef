BEGIN TRANSACTION;
CREATE TABLE cluster_events (
    position INTEGER PRIMARY KEY,
    cluster_id TEXT NOT NULL REFERENCES clusters ON DELETE CASCADE,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    details TEXT NOT NULL
);
INSERT INTO "cluster_events" VALUES(1,'1126-043741-nh9tu9v8',1795667861815,'CREATING','{"cause":"USER"}');
INSERT INTO "cluster_events" VALUES(2,'1126-043741-nh9tu9v8',1795667861984,'RUNNING','{}');
INSERT INTO "cluster_events" VALUES(3,'1126-043741-nh9tu9v8',1795667863297,'PINNED','{}');
CREATE TABLE cluster_libraries (
    position INTEGER PRIMARY KEY,
    cluster_id TEXT NOT NULL REFERENCES clusters ON DELETE CASCADE,
    library TEXT NOT NULL,           -- canonical JSON
    status TEXT NOT NULL,
    messages TEXT NOT NULL DEFAULT '[]',
    UNIQUE (cluster_id, library)
);
INSERT INTO "cluster_libraries" VALUES(1,'1126-043741-nh9tu9v8','{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}','INSTALLED','[]');
CREATE TABLE clusters (
    cluster_id TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    state_message TEXT NOT NULL DEFAULT '',
    environment TEXT,                -- key of what is installed on the running driver
    created INTEGER NOT NULL,
    started INTEGER,
    active INTEGER NOT NULL,         -- last time that it was used
    terminated INTEGER,
    termination TEXT
, job_run_id INTEGER, job_cluster_key TEXT, task_run_id INTEGER, creator TEXT, pinned_by TEXT);
INSERT INTO "clusters" VALUES('1126-043741-nh9tu9v8','{"cluster_name":"test","node_type_id":"local.small","num_workers":0,"spark_version":"16.4.x-scala2.12"}','RUNNING','','49f567512f867d192a83491b2321cdf6',1795667861815,1795667861815,1795667865470,NULL,NULL,NULL,NULL,NULL,'owner@localhost','owner@localhost');
CREATE TABLE dbfs_handles (
    handle INTEGER PRIMARY KEY, path TEXT NOT NULL, draft TEXT NOT NULL
);
CREATE TABLE idempotency_tokens (token TEXT PRIMARY KEY, run_id INTEGER NOT NULL);
INSERT INTO "idempotency_tokens" VALUES('token',1);
CREATE TABLE jobs (
    job_id INTEGER PRIMARY KEY,
    name_key TEXT NOT NULL,          -- the casefolded name: list's filter ignores case
    settings TEXT NOT NULL,
    created INTEGER NOT NULL         -- times are milliseconds since 1970
, creator TEXT);
INSERT INTO "jobs" VALUES(1,'old job','{"email_notifications":{},"format":"MULTI_TASK","max_concurrent_runs":1,"name":"old job","parameters":[{"default":"d","name":"p"}],"queue":{"enabled":true},"schedule":{"quartz_cron_expression":"0 0 12 * * ?","timezone_id":"UTC"},"tasks":[{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["a"]},"task_key":"first"},{"depends_on":[{"task_key":"first"}],"for_each_task":{"inputs":"[1, 2]","task":{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["{{input}}"]},"task_key":"inner"}},"task_key":"loop"},{"depends_on":[{"task_key":"loop"}],"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-fail","package_name":"probe"},"task_key":"last"}],"timeout_seconds":0,"webhook_notifications":{}}',1795667863372,'owner@localhost');
INSERT INTO "jobs" VALUES(2,'active','{"email_notifications":{},"format":"MULTI_TASK","max_concurrent_runs":1,"name":"active","parameters":[],"queue":{"enabled":true},"tasks":[{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-nap","package_name":"probe","parameters":["600"]},"task_key":"main"}],"timeout_seconds":0,"webhook_notifications":{}}',1795667865512,'owner@localhost');
CREATE TABLE permissions (
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,    -- user_name, group_name or service_principal_name
    principal TEXT NOT NULL,
    level TEXT NOT NULL,
    PRIMARY KEY (object_type, object_id, principal_kind, principal)
);
INSERT INTO "permissions" VALUES('volumes','main.default.lakeflow','group_name','account users','READ_VOLUME,WRITE_VOLUME');
INSERT INTO "permissions" VALUES('clusters','1126-043741-nh9tu9v8','user_name','owner@localhost','CAN_MANAGE');
INSERT INTO "permissions" VALUES('jobs','1','user_name','owner@localhost','IS_OWNER');
INSERT INTO "permissions" VALUES('jobs','2','user_name','owner@localhost','IS_OWNER');
CREATE TABLE principals (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    is_admin INTEGER NOT NULL,
    token TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
);
INSERT INTO "principals" VALUES(1,'owner@localhost',1,'token of 1',1795667860375);
INSERT INTO "principals" VALUES(2,'alice@example.com',0,'token of 2',1795667860642);
CREATE TABLE repairs (
    repair_id INTEGER PRIMARY KEY,
    job_run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    type TEXT NOT NULL,              -- ORIGINAL, kept when a run is first repaired, or REPAIR
    phase TEXT NOT NULL,
    result TEXT,
    code TEXT,
    code_type TEXT,
    message TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    ended INTEGER
);
INSERT INTO "repairs" VALUES(7,1,'ORIGINAL','INTERNAL_ERROR','FAILED','RUN_EXECUTION_ERROR','CLIENT_ERROR','Task last failed with message: Workload failed, see run output for details.',1795667863414,1795667865078);
INSERT INTO "repairs" VALUES(8,1,'REPAIR','INTERNAL_ERROR','FAILED','RUN_EXECUTION_ERROR','CLIENT_ERROR','Task last failed with message: Workload failed, see run output for details.',1795667865129,1795667865470);
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    settings TEXT NOT NULL,          -- of the job, as they were at the trigger
    trigger TEXT NOT NULL,
    phase TEXT NOT NULL,
    result TEXT,
    code TEXT,
    code_type TEXT,
    message TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    ended INTEGER
, run_type TEXT NOT NULL DEFAULT 'JOB_RUN', deadline INTEGER, stopping TEXT, creator TEXT, owner TEXT);
INSERT INTO "runs" VALUES(1,1,'{"email_notifications":{},"format":"MULTI_TASK","max_concurrent_runs":1,"name":"old job","parameters":[{"default":"d","name":"p"}],"queue":{"enabled":true},"schedule":{"quartz_cron_expression":"0 0 12 * * ?","timezone_id":"UTC"},"tasks":[{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["a"]},"task_key":"first"},{"depends_on":[{"task_key":"first"}],"for_each_task":{"inputs":"[1, 2]","task":{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["{{input}}"]},"task_key":"inner"}},"task_key":"loop"},{"depends_on":[{"task_key":"loop"}],"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-fail","package_name":"probe"},"task_key":"last"}],"timeout_seconds":0,"webhook_notifications":{}}','{}','INTERNAL_ERROR','FAILED','RUN_EXECUTION_ERROR','CLIENT_ERROR','Task last failed with message: Workload failed, see run output for details.',1795667863414,1795667865470,'JOB_RUN',NULL,NULL,'owner@localhost','owner@localhost');
INSERT INTO "runs" VALUES(10,2,'{"email_notifications":{},"format":"MULTI_TASK","max_concurrent_runs":1,"name":"active","parameters":[],"queue":{"enabled":true},"tasks":[{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-nap","package_name":"probe","parameters":["600"]},"task_key":"main"}],"timeout_seconds":0,"webhook_notifications":{}}','{}','RUNNING',NULL,NULL,NULL,'',1795667865519,NULL,'JOB_RUN',NULL,NULL,'owner@localhost','owner@localhost');
CREATE TABLE schedules (
    job_id INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    due INTEGER NOT NULL             -- when the job's next run starts by itself
);
INSERT INTO "schedules" VALUES(1,1795694400000);
CREATE TABLE secret_acls (
    scope TEXT NOT NULL REFERENCES secret_scopes ON DELETE CASCADE,
    principal TEXT NOT NULL,
    permission TEXT NOT NULL,
    PRIMARY KEY (scope, principal)
);
INSERT INTO "secret_acls" VALUES('scope','owner@localhost','MANAGE');
CREATE TABLE secret_scopes (name TEXT PRIMARY KEY);
INSERT INTO "secret_scopes" VALUES('scope');
CREATE TABLE secrets (
    scope TEXT NOT NULL REFERENCES secret_scopes ON DELETE CASCADE,
    key TEXT NOT NULL COLLATE NOCASE,
    value BLOB NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
);
INSERT INTO "secrets" VALUES('scope','key',X'76616C7565',1795667863342);
CREATE TABLE sequences (name TEXT PRIMARY KEY, last INTEGER NOT NULL);
INSERT INTO "sequences" VALUES('jobs',2);
INSERT INTO "sequences" VALUES('runs',11);
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
    parameters TEXT,                 -- as resolved at the start
    created INTEGER NOT NULL,
    not_before INTEGER NOT NULL,     -- a retry waits until then
    executing INTEGER,
    ended INTEGER,
    canceled INTEGER NOT NULL DEFAULT 0,
    pid INTEGER,
    pid_started TEXT
, repair_id INTEGER, iteration_of INTEGER, iteration INTEGER, input TEXT);
INSERT INTO "task_runs" VALUES(2,1,'first',0,'{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["a"]},"task_key":"first"}','1126-043741-nh9tu9v8','TERMINATED','SUCCESS','SUCCESS','SUCCESS','',NULL,NULL,'["a"]',1795667863414,1795667863414,1795667864038,1795667864236,0,2471,'306921',NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(3,1,'loop',0,'{"depends_on":[{"task_key":"first"}],"for_each_task":{"inputs":"[1, 2]","task":{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["{{input}}"]},"task_key":"inner"}},"task_key":"loop"}','','TERMINATED','SUCCESS','SUCCESS','SUCCESS','',NULL,NULL,NULL,1795667864236,1795667863414,1795667864244,1795667864829,0,NULL,NULL,NULL,NULL,NULL,'[1,2]');
INSERT INTO "task_runs" VALUES(4,1,'last',0,'{"depends_on":[{"task_key":"loop"}],"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-fail","package_name":"probe"},"task_key":"last"}','1126-043741-nh9tu9v8','TERMINATED','FAILED','RUN_EXECUTION_ERROR','CLIENT_ERROR','Workload failed, see run output for details','ValueError: of the test','Traceback (most recent call last):
  File "/state/environments/49f567512f867d192a83491b2321cdf6/lib/python3.12/site-packages/probe/__init__.py", line 14, in fail
    raise ValueError("of the test")
ValueError: of the test
','[]',1795667864829,1795667863414,1795667864850,1795667865078,0,2532,'307003',NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(5,1,'inner',0,'{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["{{input}}"]},"task_key":"inner"}','1126-043741-nh9tu9v8','TERMINATED','SUCCESS','SUCCESS','SUCCESS','',NULL,NULL,'["1"]',1795667864244,1795667864244,1795667864273,1795667864516,0,2494,'306945',NULL,3,0,'1');
INSERT INTO "task_runs" VALUES(6,1,'inner',0,'{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-echo","package_name":"probe","parameters":["{{input}}"]},"task_key":"inner"}','1126-043741-nh9tu9v8','TERMINATED','SUCCESS','SUCCESS','SUCCESS','',NULL,NULL,'["2"]',1795667864516,1795667864516,1795667864572,1795667864829,0,2516,'306974',NULL,3,1,'2');
INSERT INTO "task_runs" VALUES(9,1,'last',1,'{"depends_on":[{"task_key":"loop"}],"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-fail","package_name":"probe"},"task_key":"last"}','1126-043741-nh9tu9v8','TERMINATED','FAILED','RUN_EXECUTION_ERROR','CLIENT_ERROR','Workload failed, see run output for details','ValueError: of the test','Traceback (most recent call last):
  File "/state/environments/49f567512f867d192a83491b2321cdf6/lib/python3.12/site-packages/probe/__init__.py", line 14, in fail
    raise ValueError("of the test")
ValueError: of the test
','[]',1795667865129,1795667865129,1795667865158,1795667865470,0,2536,'307033',8,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(11,10,'main',0,'{"existing_cluster_id":"1126-043741-nh9tu9v8","libraries":[{"whl":"/Workspace/Users/owner@localhost/wheels/probe-1.0-py3-none-any.whl"}],"python_wheel_task":{"entry_point":"run-nap","package_name":"probe","parameters":["600"]},"task_key":"main"}','1126-043741-nh9tu9v8','RUNNING',NULL,NULL,NULL,'',NULL,NULL,'["600"]',1795667865519,1795667865519,1795667865530,NULL,0,2555,'307071',NULL,NULL,NULL,NULL);
CREATE TABLE task_values (
    task_run_id INTEGER NOT NULL REFERENCES task_runs ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,             -- JSON
    PRIMARY KEY (task_run_id, key)
);
CREATE TABLE volumes (
    catalog TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL, owner TEXT,
    PRIMARY KEY (catalog, schema, name)
);
INSERT INTO "volumes" VALUES('main','default','lakeflow','',1795667860435,'owner@localhost');
CREATE INDEX jobs_by_name ON jobs (name_key, job_id);
CREATE INDEX runs_by_time ON runs (coalesce(ended, created), run_id);
CREATE INDEX runs_by_job ON runs (job_id, coalesce(ended, created), run_id);
CREATE INDEX runs_unfinished ON runs (job_id, run_id) WHERE ended IS NULL;
CREATE INDEX task_runs_by_run ON task_runs (job_run_id, run_id);
CREATE INDEX task_runs_unfinished ON task_runs (run_id) WHERE ended IS NULL;
CREATE INDEX cluster_events_by_cluster ON cluster_events (cluster_id, position);
CREATE INDEX runs_by_deadline ON runs (deadline) WHERE ended IS NULL AND deadline IS NOT NULL;
CREATE INDEX task_runs_iterations ON task_runs (iteration_of) WHERE iteration_of IS NOT NULL;
CREATE INDEX repairs_by_run ON repairs (job_run_id, repair_id);
CREATE INDEX clusters_of_runs ON clusters (job_run_id) WHERE state != 'TERMINATED';
CREATE INDEX runs_active ON runs (coalesce(ended, created), run_id) WHERE ended IS NULL;
CREATE INDEX runs_active_by_job ON runs (job_id, coalesce(ended, created), run_id)
    WHERE ended IS NULL;
CREATE INDEX runs_by_type ON runs (run_type, coalesce(ended, created), run_id);
CREATE INDEX task_runs_delayed ON task_runs (not_before)
    WHERE ended IS NULL AND not_before > created;
CREATE INDEX schedules_by_time ON schedules (due);
CREATE INDEX permissions_by_principal ON permissions (object_type, principal);
CREATE INDEX task_runs_by_iteration ON task_runs (iteration_of, iteration)
    WHERE iteration_of IS NOT NULL;
CREATE INDEX task_runs_active_iterations ON task_runs (iteration_of)
    WHERE iteration_of IS NOT NULL AND ended IS NULL;
COMMIT;
