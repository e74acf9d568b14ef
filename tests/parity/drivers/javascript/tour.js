// The JavaScript SDK. Started as the Python drivers are: see tour.py.
"use strict";

const fs = require("fs");
const { WorkspaceClient } = require("@databricks/sdk-experimental");

const facts = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const w = new WorkspaceClient({ host: facts.host, token: facts.token, authType: "pat" });

async function call(keys, body) {
  let failed = null;
  try {
    await body();
  } catch (error) {
    failed = `${error.stack || error}`;
  }
  for (const key of [].concat(keys)) {
    fs.appendFileSync(process.argv[3], JSON.stringify({ call: key, failed }) + "\n");
  }
}

// A call that the client itself gets wrong, as the body shows.
async function broken(key, text, body) {
  await body();
  const finding = { call: key, failed: null, broken: text };
  fs.appendFileSync(process.argv[3], JSON.stringify(finding) + "\n");
}

function equal(found, wanted) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`found ${left}, wanted ${right}`);
}

async function all(iterable) {
  const found = [];
  for await (const each of iterable) found.push(each);
  return found;
}

async function until(condition) {
  const deadline = Date.now() + 120000;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("this never came to pass");
}

async function refused(body) {
  try {
    await body();
  } catch {
    return true;
  }
  return false;
}

async function bytes(stream) {
  const parts = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

function streamOf(content) {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new Uint8Array(content));
      controller.close();
    },
  });
}

function task(name, ...parameters) {
  return {
    task_key: "main",
    existing_cluster_id: facts.cluster_id,
    libraries: [{ whl: facts.wheel }],
    python_wheel_task: { package_name: "probe", entry_point: `run-${name}`, parameters },
  };
}

async function finished(run_id) {
  return until(async () => {
    const run = await w.jobs.getRun({ run_id });
    return run.end_time ? run : null;
  });
}

async function output(run) {
  return w.jobs.getRunOutput({ run_id: run.tasks[run.tasks.length - 1].run_id });
}

async function jobsAndRuns() {
  const name = facts.name;
  let job, run, failing, failed, holding, held;
  await call("GET preview/scim/v2/Me", async () => {
    equal((await w.currentUser.me()).userName, facts.user);
  });
  await call("POST jobs/create", async () => {
    job = (await w.jobs.create({ name, tasks: [task("echo", "one")] })).job_id;
  });
  await call("GET jobs/get", async () => {
    equal((await w.jobs.get({ job_id: job })).settings.name, name);
  });
  await call("GET jobs/list", async () => {
    const found = await all(w.jobs.list({ expand_tasks: true }));
    equal(found.some((each) => each.job_id === job), true);
  });
  await call("GET jobs/list: by name", async () => {
    equal((await all(w.jobs.list({ name }))).map((each) => each.job_id), [job]);
  });
  await call("GET jobs/list: page by page", async () => {
    for (const number of [1, 2]) await w.jobs.create({ name: `${name}-${number}`, tasks: [task("echo")] });
    const found = await all(w.jobs.list({ limit: 1 }));
    equal(found.some((each) => each.job_id === job), true);
  });
  await call("POST jobs/update", async () => {
    await w.jobs.update({ job_id: job, new_settings: { timeout_seconds: 600 } });
    equal((await w.jobs.get({ job_id: job })).settings.timeout_seconds, 600);
  });
  await call("POST jobs/reset", async () => {
    await w.jobs.reset({ job_id: job, new_settings: { name, tasks: [task("echo", "one")] } });
    equal((await w.jobs.get({ job_id: job })).settings.timeout_seconds || 0, 0);
  });
  await call(["POST jobs/run-now", "GET jobs/runs/get"], async () => {
    run = await finished((await w.jobs.runNow({ job_id: job })).run_id);
    equal(run.state.result_state, "SUCCESS");
  });
  await call("POST jobs/run-now: waited for by the client", async () => {
    const waiter = await w.jobs.runNow({ job_id: job });
    equal((await waiter.wait()).state.result_state, "SUCCESS");
  });
  await call("POST jobs/run-now: the same idempotency token twice", async () => {
    const first = await w.jobs.runNow({ job_id: job, idempotency_token: name });
    const second = await w.jobs.runNow({ job_id: job, idempotency_token: name });
    equal(first.run_id, second.run_id);
    await finished(first.run_id);
  });
  await call("GET jobs/runs/list", async () => {
    const found = await all(w.jobs.listRuns({ job_id: job, limit: 1 }));
    equal(found.some((each) => each.run_id === run.run_id), true);
  });
  await call(
    ["GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all"],
    async () => equal((await output(run)).logs.includes('["probe", "one"]'), true)
  );
  await call(
    ["POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted"],
    async () => {
      const waiter = await w.jobs.submit({ run_name: "parity", tasks: [task("echo", "submitted")] });
      const logs = (await output(await finished(waiter.run_id))).logs;
      equal(logs.includes('["probe", "submitted"]'), true);
    }
  );
  await call("GET jobs/runs/get-output: error and trace of a run that failed", async () => {
    failing = (await w.jobs.create({ name: `${name}-fails`, tasks: [task("fail")] })).job_id;
    failed = await finished((await w.jobs.runNow({ job_id: failing })).run_id);
    equal(failed.state.result_state, "FAILED");
    equal((await output(failed)).error, "ValueError: of the test");
    equal((await output(failed)).error_trace.includes("Traceback"), true);
  });
  await call("POST jobs/runs/repair", async () => {
    await w.jobs.reset({ job_id: failing, new_settings: { name, tasks: [task("echo", "repaired")] } });
    await w.jobs.repairRun({ run_id: failed.run_id, rerun_tasks: ["main"] });
    equal((await finished(failed.run_id)).state.result_state, "SUCCESS");
  });
  await call("GET jobs/runs/export", async () => {
    await w.jobs.exportRun({ run_id: run.tasks[0].run_id });
  });
  await call("POST jobs/runs/cancel", async () => {
    const tasks = [task("await_others", "/", "tmp", "100000")];
    holding = (await w.jobs.create({ name: `${name}-holds`, tasks })).job_id;
    held = (await w.jobs.runNow({ job_id: holding })).run_id;
    await w.jobs.cancelRun({ run_id: held });
    equal((await finished(held)).state.result_state, "CANCELED");
  });
  await call("POST jobs/runs/cancel-all", async () => {
    held = (await w.jobs.runNow({ job_id: holding })).run_id;
    await w.jobs.cancelAllRuns({ job_id: holding });
    equal((await finished(held)).state.result_state, "CANCELED");
  });
  await call("POST jobs/runs/delete", async () => {
    await w.jobs.deleteRun({ run_id: held });
    equal(await refused(() => w.jobs.getRun({ run_id: held })), true);
  });
  const object = { request_object_type: "jobs", request_object_id: `${job}` };
  await call("GET permissions/jobs/{id}", async () => {
    const found = await w.permissions.get(object);
    equal(found.access_control_list.some((each) => each.user_name === facts.user), true);
  });
  await broken(
    "PATCH permissions/jobs/{id}",
    "the JavaScript SDK sends PATCH without a body",
    async () => {
      const grant = { group_name: "users", permission_level: "CAN_MANAGE_RUN" };
      const found = await w.permissions.update({ ...object, access_control_list: [grant] });
      equal(found.access_control_list.some((each) => each.group_name === "users"), false);
    }
  );
  await call("PUT permissions/jobs/{id}", async () => {
    const grant = { user_name: facts.user, permission_level: "IS_OWNER" };
    const found = await w.permissions.set({ ...object, access_control_list: [grant] });
    equal(found.access_control_list.some((each) => each.group_name === "users"), false);
  });
  await call("GET permissions/jobs/{id}/permissionLevels", async () => {
    const found = await w.permissions.getPermissionLevels(object);
    equal(found.permission_levels.some((each) => each.permission_level === "CAN_MANAGE"), true);
  });
  await call("POST jobs/delete", async () => {
    await w.jobs.delete({ job_id: job });
    equal(await refused(() => w.jobs.get({ job_id: job })), true);
  });
}

async function clusters() {
  const spec = {
    cluster_name: facts.name,
    spark_version: facts.spark_version,
    node_type_id: facts.node_type_id,
    num_workers: 0,
  };
  let one;
  const reach = (state) => until(async () => (await w.clusters.get(one)).state === state);
  await call("GET clusters/spark-versions", async () => {
    equal(await w.clusters.selectSparkVersion({ longTermSupport: true }), facts.spark_version);
  });
  await call("GET clusters/list-node-types", async () => {
    equal(await w.clusters.selectNodeType({ localDisk: true }), facts.node_type_id);
  });
  await call("GET clusters/list-zones", async () => {
    equal((await w.clusters.listZones()).zones.length > 0, true);
  });
  await call(["POST clusters/create", "GET clusters/get"], async () => {
    const made = await (await w.clusters.create(spec)).wait();
    one = { cluster_id: made.cluster_id };
    equal(made.state, "RUNNING");
  });
  await call("GET clusters/list", async () => {
    const found = await all(w.clusters.list({}));
    equal(found.some((each) => each.cluster_id === one.cluster_id), true);
  });
  const wheel = { ...one, libraries: [{ whl: facts.wheel }] };
  const status = async () => {
    const [found] = await all(w.libraries.clusterStatus(one));
    return found.status;
  };
  await call(["POST libraries/install", "GET libraries/cluster-status"], async () => {
    await w.libraries.install(wheel);
    await until(async () => (await status()) === "INSTALLED");
  });
  await call("GET libraries/all-cluster-statuses", async () => {
    const found = await all(w.libraries.allClusterStatuses());
    equal(found.some((each) => each.cluster_id === one.cluster_id), true);
  });
  await call("POST libraries/uninstall", async () => {
    await w.libraries.uninstall(wheel);
    equal(await status(), "UNINSTALL_ON_RESTART");
  });
  await call("POST clusters/resize", async () => {
    await w.clusters.resize({ ...one, num_workers: 1 });
    await reach("RUNNING");
  });
  await call("POST clusters/restart", async () => {
    await w.clusters.restart(one);
    await reach("RUNNING");
  });
  await call("POST clusters/edit", async () => {
    await w.clusters.edit({ ...one, ...spec, cluster_name: `${facts.name}-2` });
    await reach("RUNNING");
    equal((await w.clusters.get(one)).cluster_name, `${facts.name}-2`);
  });
  await call("POST clusters/update", async () => {
    const cluster = { autotermination_minutes: 33 };
    await w.clusters.update({ ...one, update_mask: "autotermination_minutes", cluster });
    await reach("RUNNING");
    equal((await w.clusters.get(one)).autotermination_minutes, 33);
  });
  await call("POST clusters/delete", async () => {
    await w.clusters.delete(one);
    await reach("TERMINATED");
  });
  await call("POST clusters/start", async () => {
    await w.clusters.start(one);
    await reach("RUNNING");
  });
  await call("POST clusters/events", async () => {
    const found = await all(w.clusters.events({ ...one, limit: 2 }));
    equal(found.some((each) => each.type === "CREATING"), true);
  });
  await call("POST clusters/pin", () => w.clusters.pin(one));
  await call("POST clusters/unpin", () => w.clusters.unpin(one));
  await call("POST clusters/permanent-delete", async () => {
    await w.clusters.permanentDelete(one);
    const found = await all(w.clusters.list({}));
    equal(found.some((each) => each.cluster_id === one.cluster_id), false);
  });
  await call("GET policies/clusters/list", () => all(w.clusterPolicies.list({})));
  await call("GET instance-pools/list", () => all(w.instancePools.list()));
}

async function files() {
  const full = `main.default.${facts.name}`;
  const root = `/Volumes/main/default/${facts.name}`;
  const content = Buffer.from("some bytes \u0000 and more");
  await call("POST unity-catalog/volumes", () =>
    w.volumes.create({
      catalog_name: "main",
      schema_name: "default",
      name: facts.name,
      volume_type: "MANAGED",
    })
  );
  await call("GET unity-catalog/volumes", async () => {
    const found = await all(w.volumes.list({ catalog_name: "main", schema_name: "default" }));
    equal(found.some((each) => each.full_name === full), true);
  });
  await call("GET unity-catalog/volumes/{name}", async () => {
    equal((await w.volumes.read({ name: full })).full_name, full);
  });
  const securable = { securable_type: "volume", full_name: full };
  await broken(
    "PATCH unity-catalog/permissions/{path}",
    "the JavaScript SDK sends PATCH without a body",
    async () => {
      const change = { principal: "account users", add: ["READ_VOLUME"] };
      await w.grants.update({ ...securable, changes: [change] });
    }
  );
  await call("GET unity-catalog/permissions/{path}", async () => {
    equal((await w.grants.get(securable)).privilege_assignments, []);
  });
  await call("PUT fs/directories{path}", () =>
    w.files.createDirectory({ directory_path: `${root}/below` })
  );
  await call("HEAD fs/directories{path}", () =>
    w.files.getDirectoryMetadata({ directory_path: `${root}/below` })
  );
  const file = { file_path: `${root}/file` };
  await broken("PUT fs/files{path}", "the JavaScript SDK sends uploads without a body", async () => {
    await w.files.upload({ ...file, contents: streamOf(content), overwrite: true });
    equal((await w.files.getMetadata(file))["content-length"], "0");
  });
  await fetch(`${facts.host}/api/2.0/fs/files${root}/file?overwrite=true`, {
    method: "PUT",
    body: content,
    headers: { Authorization: `Bearer ${facts.token}` },
  });
  await call("GET fs/files{path}", async () => {
    const found = await w.files.download({ file_path: `${root}/file` });
    equal((await bytes(found.contents)).toString("hex"), content.toString("hex"));
  });
  await call("HEAD fs/files{path}", () => w.files.getMetadata({ file_path: `${root}/file` }));
  await call("GET fs/directories{path}", async () => {
    const found = await all(w.files.listDirectoryContents({ directory_path: root }));
    equal(found.map((each) => each.name).sort(), ["below", "file"]);
  });
  await call("DELETE fs/files{path}", async () => {
    await w.files.delete({ file_path: `${root}/file` });
    equal(await refused(() => w.files.getMetadata({ file_path: `${root}/file` })), true);
  });
  await call("DELETE fs/directories{path}", () =>
    w.files.deleteDirectory({ directory_path: `${root}/below` })
  );
  await call("DELETE unity-catalog/volumes/{name}", async () => {
    await w.volumes.delete({ name: full });
    equal(await refused(() => w.volumes.read({ name: full })), true);
  });
  await call("GET unity-catalog/catalogs", () => all(w.catalogs.list({})));
}

async function workspaceFiles() {
  const home = `/Users/${facts.user}/${facts.name}`;
  const content = Buffer.from("print(1)\n").toString("base64");
  await call("POST workspace/mkdirs", () => w.workspace.mkdirs({ path: home }));
  await call("POST workspace/import", () =>
    w.workspace.import({ path: `${home}/file`, content, format: "AUTO", overwrite: true })
  );
  await call("GET workspace/export", async () => {
    equal((await w.workspace.export({ path: `${home}/file`, format: "AUTO" })).content, content);
  });
  await call("GET workspace/get-status", async () => {
    equal((await w.workspace.getStatus({ path: `${home}/file` })).object_type, "FILE");
  });
  await call("GET workspace/list", async () => {
    equal((await all(w.workspace.list({ path: home }))).map((each) => each.path), [`${home}/file`]);
  });
  await call("POST workspace/delete", async () => {
    await w.workspace.delete({ path: home, recursive: true });
    equal(await refused(() => w.workspace.getStatus({ path: home })), true);
  });
}

async function dbfs() {
  const root = `/parity/${facts.name}`;
  const data = Buffer.from("some bytes").toString("base64");
  await call("POST dbfs/mkdirs", () => w.dbfs.mkdirs({ path: root }));
  await call("POST dbfs/put", () => w.dbfs.put({ path: `${root}/put`, contents: data }));
  await call(["POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close"], async () => {
    const { handle } = await w.dbfs.create({ path: `${root}/blocks` });
    await w.dbfs.addBlock({ handle, data });
    await w.dbfs.close({ handle });
  });
  await call("GET dbfs/get-status", async () => {
    equal((await w.dbfs.getStatus({ path: `${root}/blocks` })).file_size, 10);
  });
  await call("GET dbfs/read", async () => {
    equal((await w.dbfs.read({ path: `${root}/blocks`, offset: 0, length: 100 })).data, data);
  });
  await call("GET dbfs/list", async () => {
    const found = (await all(w.dbfs.list({ path: root }))).map((each) => each.path);
    equal(found.sort(), [`${root}/blocks`, `${root}/put`]);
  });
  await call("POST dbfs/move", async () => {
    await w.dbfs.move({ source_path: `${root}/put`, destination_path: `${root}/moved` });
    equal((await w.dbfs.getStatus({ path: `${root}/moved` })).file_size, 10);
  });
  await call("POST dbfs/delete", async () => {
    await w.dbfs.delete({ path: root, recursive: true });
    equal(await refused(() => w.dbfs.getStatus({ path: root })), true);
  });
}

async function secrets() {
  const scope = facts.name;
  await call("POST secrets/scopes/create", () => w.secrets.createScope({ scope }));
  await call("GET secrets/scopes/list", async () => {
    equal((await all(w.secrets.listScopes())).some((each) => each.name === scope), true);
  });
  await call("POST secrets/put", () =>
    w.secrets.putSecret({ scope, key: "key", string_value: "välue" })
  );
  await call("GET secrets/get", async () => {
    const found = await w.secrets.getSecret({ scope, key: "key" });
    equal(Buffer.from(found.value, "base64").toString(), "välue");
  });
  await call("GET secrets/list", async () => {
    equal((await all(w.secrets.listSecrets({ scope }))).map((each) => each.key), ["key"]);
  });
  await call("POST secrets/delete", async () => {
    await w.secrets.deleteSecret({ scope, key: "key" });
    equal(await all(w.secrets.listSecrets({ scope })), []);
  });
  const users = { scope, principal: "users" };
  await call("POST secrets/acls/put", () => w.secrets.putAcl({ ...users, permission: "READ" }));
  await call("GET secrets/acls/get", async () => {
    equal((await w.secrets.getAcl(users)).permission, "READ");
  });
  await call("GET secrets/acls/list", async () => {
    equal((await all(w.secrets.listAcls({ scope }))).length, 2);
  });
  await call("POST secrets/acls/delete", async () => {
    await w.secrets.deleteAcl(users);
    equal((await all(w.secrets.listAcls({ scope }))).length, 1);
  });
  await call("POST secrets/scopes/delete", async () => {
    await w.secrets.deleteScope({ scope });
    equal((await all(w.secrets.listScopes())).some((each) => each.name === scope), false);
  });
}

async function others() {
  await call("GET token/list", () => all(w.tokens.list()));
  await call("GET repos", () => all(w.repos.list({})));
  await call("GET pipelines", () => all(w.pipelines.listPipelines({})));
  await call("GET sql/warehouses", () => all(w.warehouses.list({})));
}

(async () => {
  for (const part of [jobsAndRuns, clusters, files, workspaceFiles, dbfs, secrets, others]) {
    await part();
  }
})();
