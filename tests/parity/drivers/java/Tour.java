import com.databricks.sdk.WorkspaceClient;
import com.databricks.sdk.core.DatabricksConfig;
import com.databricks.sdk.core.DatabricksError;
import com.databricks.sdk.mixin.NodeTypeSelector;
import com.databricks.sdk.mixin.SparkVersionSelector;
import com.databricks.sdk.service.catalog.CreateVolumeRequestContent;
import com.databricks.sdk.service.catalog.ListCatalogsRequest;
import com.databricks.sdk.service.catalog.PermissionsChange;
import com.databricks.sdk.service.catalog.Privilege;
import com.databricks.sdk.service.catalog.UpdatePermissions;
import com.databricks.sdk.service.catalog.VolumeInfo;
import com.databricks.sdk.service.catalog.VolumeType;
import com.databricks.sdk.service.compute.ClusterDetails;
import com.databricks.sdk.service.compute.ClusterSpec;
import com.databricks.sdk.service.compute.CreateCluster;
import com.databricks.sdk.service.compute.CreateInstancePool;
import com.databricks.sdk.service.compute.CreatePolicy;
import com.databricks.sdk.service.compute.DeleteCluster;
import com.databricks.sdk.service.compute.EditCluster;
import com.databricks.sdk.service.compute.EventType;
import com.databricks.sdk.service.compute.GetEvents;
import com.databricks.sdk.service.compute.InstallLibraries;
import com.databricks.sdk.service.compute.Library;
import com.databricks.sdk.service.compute.LibraryFullStatus;
import com.databricks.sdk.service.compute.LibraryInstallStatus;
import com.databricks.sdk.service.compute.ListClusterPoliciesRequest;
import com.databricks.sdk.service.compute.ListClustersRequest;
import com.databricks.sdk.service.compute.ResizeCluster;
import com.databricks.sdk.service.compute.RestartCluster;
import com.databricks.sdk.service.compute.State;
import com.databricks.sdk.service.compute.UninstallLibraries;
import com.databricks.sdk.service.compute.UpdateCluster;
import com.databricks.sdk.service.compute.UpdateClusterResource;
import com.databricks.sdk.service.files.AddBlock;
import com.databricks.sdk.service.files.Create;
import com.databricks.sdk.service.files.CreateDirectoryRequest;
import com.databricks.sdk.service.files.DirectoryEntry;
import com.databricks.sdk.service.files.FileInfo;
import com.databricks.sdk.service.files.Move;
import com.databricks.sdk.service.files.Put;
import com.databricks.sdk.service.files.UploadRequest;
import com.databricks.sdk.service.iam.AccessControlRequest;
import com.databricks.sdk.service.iam.AccessControlResponse;
import com.databricks.sdk.service.iam.MeRequest;
import com.databricks.sdk.service.iam.PermissionLevel;
import com.databricks.sdk.service.iam.SetObjectPermissions;
import com.databricks.sdk.service.iam.UpdateObjectPermissions;
import com.databricks.sdk.service.jobs.BaseJob;
import com.databricks.sdk.service.jobs.CancelAllRuns;
import com.databricks.sdk.service.jobs.CreateJob;
import com.databricks.sdk.service.jobs.JobCluster;
import com.databricks.sdk.service.jobs.JobSettings;
import com.databricks.sdk.service.jobs.ListJobsRequest;
import com.databricks.sdk.service.jobs.ListRunsRequest;
import com.databricks.sdk.service.jobs.PythonWheelTask;
import com.databricks.sdk.service.jobs.RepairRun;
import com.databricks.sdk.service.jobs.ResetJob;
import com.databricks.sdk.service.jobs.Run;
import com.databricks.sdk.service.jobs.RunNow;
import com.databricks.sdk.service.jobs.RunOutput;
import com.databricks.sdk.service.jobs.RunResultState;
import com.databricks.sdk.service.jobs.RunTask;
import com.databricks.sdk.service.jobs.SubmitRun;
import com.databricks.sdk.service.jobs.SubmitTask;
import com.databricks.sdk.service.jobs.Task;
import com.databricks.sdk.service.jobs.TaskDependency;
import com.databricks.sdk.service.jobs.UpdateJob;
import com.databricks.sdk.service.pipelines.ListPipelinesRequest;
import com.databricks.sdk.service.sql.ListWarehousesRequest;
import com.databricks.sdk.service.workspace.AclItem;
import com.databricks.sdk.service.workspace.AclPermission;
import com.databricks.sdk.service.workspace.CreateScope;
import com.databricks.sdk.service.workspace.Delete;
import com.databricks.sdk.service.workspace.DeleteAcl;
import com.databricks.sdk.service.workspace.DeleteSecret;
import com.databricks.sdk.service.workspace.ExportFormat;
import com.databricks.sdk.service.workspace.ExportRequest;
import com.databricks.sdk.service.workspace.Import;
import com.databricks.sdk.service.workspace.ImportFormat;
import com.databricks.sdk.service.workspace.ListReposRequest;
import com.databricks.sdk.service.workspace.ObjectInfo;
import com.databricks.sdk.service.workspace.ObjectType;
import com.databricks.sdk.service.workspace.PutAcl;
import com.databricks.sdk.service.workspace.PutSecret;
import com.databricks.sdk.service.workspace.SecretMetadata;
import com.databricks.sdk.service.workspace.SecretScope;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.function.Function;

/** The Java SDK. Started as the Python drivers are: see tour.py. */
public final class Tour {
  private interface Body {
    void run() throws Exception;
  }

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final byte[] CONTENT = "some bytes \0 and ö".getBytes(StandardCharsets.UTF_8);
  private static final String TEXT = Base64.getEncoder().encodeToString(CONTENT);
  private static final Duration WAIT = Duration.ofMinutes(2);

  private final WorkspaceClient w;
  private final Path findings;
  private final String user;
  private final String clusterId;
  private final String wheel;
  private final String sparkVersion;
  private final String nodeTypeId;
  private final String name;

  private long job;
  private long failing;
  private long holding;
  private long held;
  private Run run;
  private Run failed;

  private Tour(JsonNode facts, Path findings) {
    this.findings = findings;
    user = facts.get("user").asText();
    clusterId = facts.get("cluster_id").asText();
    wheel = facts.get("wheel").asText();
    sparkVersion = facts.get("spark_version").asText();
    nodeTypeId = facts.get("node_type_id").asText();
    name = facts.get("name").asText();
    w =
        new WorkspaceClient(
            new DatabricksConfig()
                .setHost(facts.get("host").asText())
                .setToken(facts.get("token").asText())
                .setAuthType("pat"));
  }

  public static void main(String[] arguments) throws Exception {
    JsonNode facts = JSON.readTree(Files.readAllBytes(Path.of(arguments[0])));
    Tour tour = new Tour(facts, Path.of(arguments[1]));
    tour.identity();
    tour.jobs();
    tour.runs();
    tour.permissions();
    tour.call(
        () -> {
          tour.w.jobs().delete(tour.job);
          refused(() -> tour.w.jobs().get(tour.job));
        },
        "POST jobs/delete");
    tour.clusters();
    tour.volumes();
    tour.workspaceFiles();
    tour.dbfs();
    tour.secrets();
    tour.others();
  }

  /** Notes the outcome of the calls of a body, under the keys of their rows. */
  private void call(Body body, String... keys) throws Exception {
    String text = null;
    try {
      body.run();
    } catch (Exception | AssertionError error) {
      text = error.toString();
    }
    for (String key : keys) {
      Map<String, String> finding = new HashMap<>();
      finding.put("call", key);
      finding.put("failed", text);
      Files.writeString(
          findings,
          JSON.writeValueAsString(finding) + "\n",
          StandardOpenOption.CREATE,
          StandardOpenOption.APPEND);
    }
  }

  private static void equal(Object found, Object wanted) {
    if (!Objects.equals(found, wanted)) {
      throw new AssertionError("found " + found + ", wanted " + wanted);
    }
  }

  private static void holds(String text, String part) {
    if (text == null || !text.contains(part)) {
      throw new AssertionError("found " + text + ", wanted it to hold " + part);
    }
  }

  private static void refused(Callable<?> call) throws Exception {
    try {
      call.call();
    } catch (DatabricksError error) {
      return;
    }
    throw new AssertionError("this should have been refused");
  }

  private static void until(Callable<Boolean> condition) throws Exception {
    Instant deadline = Instant.now().plus(WAIT);
    while (Instant.now().isBefore(deadline)) {
      if (condition.call()) {
        return;
      }
      Thread.sleep(50);
    }
    throw new AssertionError("this never came to pass");
  }

  private static <T, R> List<R> all(Iterable<T> found, Function<T, R> of) {
    List<R> list = new ArrayList<>();
    found.forEach(each -> list.add(of.apply(each)));
    return list;
  }

  private static <T> T last(Collection<T> found) {
    return new ArrayList<>(found).get(found.size() - 1);
  }

  private void identity() throws Exception {
    call(
        () -> equal(w.currentUser().me(new MeRequest()).getUserName(), user),
        "GET preview/scim/v2/Me");
    call(
        () -> equal(w.config().getWorkspaceId() != null, true),
        "GET /.well-known/databricks-config");
  }

  private PythonWheelTask wheelTask(String function, String... parameters) {
    return new PythonWheelTask()
        .setPackageName("probe")
        .setEntryPoint("run-" + function)
        .setParameters(Arrays.asList(parameters));
  }

  private Collection<Library> wheels() {
    return List.of(new Library().setWhl(wheel));
  }

  private Task task(String function, String... parameters) {
    return new Task()
        .setTaskKey("main")
        .setExistingClusterId(clusterId)
        .setLibraries(wheels())
        .setPythonWheelTask(wheelTask(function, parameters));
  }

  private long create(String title, Task... tasks) {
    return w.jobs().create(new CreateJob().setName(title).setTasks(List.of(tasks))).getJobId();
  }

  private Run finished(long runId) throws Exception {
    until(() -> Objects.requireNonNullElse(w.jobs().getRun(runId).getEndTime(), 0L) != 0);
    return w.jobs().getRun(runId);
  }

  private Run trigger(long jobId) throws Exception {
    return finished(w.jobs().runNow(new RunNow().setJobId(jobId)).getResponse().getRunId());
  }

  private RunOutput output(Run of) {
    return w.jobs().getRunOutput(last(of.getTasks()).getRunId());
  }

  private void jobs() throws Exception {
    call(() -> job = create(name, task("echo", "one")), "POST jobs/create");
    call(() -> equal(w.jobs().get(job).getSettings().getName(), name), "GET jobs/get");
    call(
        () ->
            equal(
                all(w.jobs().list(new ListJobsRequest().setName(name)), BaseJob::getJobId),
                List.of(job)),
        "GET jobs/list",
        "GET jobs/list: by name");
    call(
        () -> {
          long other = create(name + "-1", task("echo"));
          ListJobsRequest asked = new ListJobsRequest().setLimit(1L).setExpandTasks(true);
          List<Long> found = all(w.jobs().list(asked), BaseJob::getJobId);
          equal(found.containsAll(List.of(job, other)), true);
        },
        "GET jobs/list: page by page");
    call(
        () -> {
          JobSettings change = new JobSettings().setTimeoutSeconds(600L);
          w.jobs().update(new UpdateJob().setJobId(job).setNewSettings(change));
          equal(w.jobs().get(job).getSettings().getTimeoutSeconds(), 600L);
        },
        "POST jobs/update");
    call(
        () -> {
          JobSettings change =
              new JobSettings().setName(name).setTasks(List.of(task("echo", "one")));
          w.jobs().reset(new ResetJob().setJobId(job).setNewSettings(change));
          Long seconds = w.jobs().get(job).getSettings().getTimeoutSeconds();
          equal(Objects.requireNonNullElse(seconds, 0L), 0L);
        },
        "POST jobs/reset");
    call(this::twoTasks, "POST jobs/create: two tasks, one after the other, on a job cluster");
  }

  private void twoTasks() throws Exception {
    ClusterSpec spec =
        new ClusterSpec()
            .setSparkVersion(sparkVersion)
            .setNodeTypeId(nodeTypeId)
            .setNumWorkers(0L);
    List<Task> tasks = new ArrayList<>();
    for (String key : List.of("first", "second")) {
      Task each = task("echo", key).setTaskKey(key).setExistingClusterId(null);
      tasks.add(each.setJobClusterKey("shared"));
    }
    tasks.get(1).setDependsOn(List.of(new TaskDependency().setTaskKey("first")));
    CreateJob asked =
        new CreateJob()
            .setName(name + "-two")
            .setTasks(tasks)
            .setJobClusters(
                List.of(new JobCluster().setJobClusterKey("shared").setNewCluster(spec)));
    Run both = trigger(w.jobs().create(asked).getJobId());
    equal(both.getState().getResultState(), RunResultState.SUCCESS);
    Map<String, RunTask> times = new HashMap<>();
    both.getTasks().forEach(each -> times.put(each.getTaskKey(), each));
    equal(times.get("first").getEndTime() <= times.get("second").getStartTime(), true);
  }

  private void runs() throws Exception {
    call(
        () -> {
          run = trigger(job);
          equal(run.getState().getResultState(), RunResultState.SUCCESS);
        },
        "POST jobs/run-now",
        "GET jobs/runs/get");
    call(
        () -> {
          Run found = w.jobs().runNow(new RunNow().setJobId(job)).get(WAIT);
          equal(found.getState().getResultState(), RunResultState.SUCCESS);
        },
        "POST jobs/run-now: waited for by the client");
    call(
        () -> {
          RunNow asked = new RunNow().setJobId(job).setIdempotencyToken(name);
          long first = w.jobs().runNow(asked).getResponse().getRunId();
          equal(w.jobs().runNow(asked).getResponse().getRunId(), first);
          finished(first);
        },
        "POST jobs/run-now: the same idempotency token twice");
    call(
        () -> {
          ListRunsRequest asked = new ListRunsRequest().setJobId(job).setLimit(1L);
          equal(all(w.jobs().listRuns(asked), each -> each.getJobId()).size(), 3);
        },
        "GET jobs/runs/list");
    call(
        () -> holds(output(run).getLogs(), "[\"probe\", \"one\"]"),
        "GET jobs/runs/get-output",
        "GET jobs/runs/get-output: of a wheel task, arguments and all");
    call(
        () -> {
          SubmitTask asked =
              new SubmitTask()
                  .setTaskKey("main")
                  .setExistingClusterId(clusterId)
                  .setLibraries(wheels())
                  .setPythonWheelTask(wheelTask("echo", "submitted"));
          Run found = w.jobs().submit(new SubmitRun().setTasks(List.of(asked))).get(WAIT);
          holds(output(found).getLogs(), "[\"probe\", \"submitted\"]");
        },
        "POST jobs/runs/submit",
        "GET jobs/runs/get-output: of a run that was submitted",
        "POST jobs/runs/submit: waited for by the client");
    call(
        () -> {
          failing = create(name + "-fails", task("fail"));
          failed = trigger(failing);
          RunOutput found = output(failed);
          equal(failed.getState().getResultState(), RunResultState.FAILED);
          equal(found.getError(), "ValueError: of the test");
          holds(found.getErrorTrace(), "Traceback");
        },
        "GET jobs/runs/get-output: error and trace of a run that failed");
    call(
        () -> {
          JobSettings change =
              new JobSettings().setName(name).setTasks(List.of(task("echo", "repaired")));
          w.jobs().reset(new ResetJob().setJobId(failing).setNewSettings(change));
          RepairRun asked =
              new RepairRun().setRunId(failed.getRunId()).setRerunTasks(List.of("main"));
          w.jobs().repairRun(asked);
          Run found = finished(failed.getRunId());
          equal(found.getState().getResultState(), RunResultState.SUCCESS);
        },
        "POST jobs/runs/repair");
    call(
        () -> w.jobs().exportRun(last(run.getTasks()).getRunId()),
        "GET jobs/runs/export");
    call(
        () -> {
          holding = create(name + "-holds", task("await_others", "/", "tmp", "100000"));
          hold();
          w.jobs().cancelRun(held);
          equal(finished(held).getState().getResultState(), RunResultState.CANCELED);
        },
        "POST jobs/runs/cancel");
    call(
        () -> {
          hold();
          w.jobs().cancelAllRuns(new CancelAllRuns().setJobId(holding));
          equal(finished(held).getState().getResultState(), RunResultState.CANCELED);
        },
        "POST jobs/runs/cancel-all");
    call(
        () -> {
          w.jobs().deleteRun(held);
          refused(() -> w.jobs().getRun(held));
        },
        "POST jobs/runs/delete");
  }

  private void hold() {
    held = w.jobs().runNow(new RunNow().setJobId(holding)).getResponse().getRunId();
  }

  private Map<String, PermissionLevel> granted(String kind, String id) {
    Map<String, PermissionLevel> found = new HashMap<>();
    for (AccessControlResponse each : w.permissions().get(kind, id).getAccessControlList()) {
      String who = each.getUserName() != null ? each.getUserName() : each.getGroupName();
      found.put(who, last(each.getAllPermissions()).getPermissionLevel());
    }
    return found;
  }

  private void grant(String kind, String id, PermissionLevel level) {
    w.permissions()
        .update(
            new UpdateObjectPermissions()
                .setRequestObjectType(kind)
                .setRequestObjectId(id)
                .setAccessControlList(
                    List.of(
                        new AccessControlRequest()
                            .setGroupName("users")
                            .setPermissionLevel(level))));
  }

  private void permissions() throws Exception {
    String id = String.valueOf(job);
    call(
        () -> equal(granted("jobs", id).get(user), PermissionLevel.IS_OWNER),
        "GET permissions/jobs/{id}");
    call(
        () -> {
          grant("jobs", id, PermissionLevel.CAN_MANAGE_RUN);
          equal(granted("jobs", id).get("users"), PermissionLevel.CAN_MANAGE_RUN);
        },
        "PATCH permissions/jobs/{id}");
    call(
        () -> {
          AccessControlRequest mine =
              new AccessControlRequest()
                  .setUserName(user)
                  .setPermissionLevel(PermissionLevel.IS_OWNER);
          w.permissions()
              .set(
                  new SetObjectPermissions()
                      .setRequestObjectType("jobs")
                      .setRequestObjectId(id)
                      .setAccessControlList(List.of(mine)));
          equal(granted("jobs", id).containsKey("users"), false);
        },
        "PUT permissions/jobs/{id}");
    call(
        () -> {
          List<PermissionLevel> levels =
              all(
                  w.permissions().getPermissionLevels("jobs", id).getPermissionLevels(),
                  each -> each.getPermissionLevel());
          equal(levels.contains(PermissionLevel.CAN_MANAGE), true);
        },
        "GET permissions/jobs/{id}/permissionLevels");
  }

  private void clusters() throws Exception {
    call(
        () ->
            equal(
                w.clusters()
                    .selectSparkVersion(
                        new SparkVersionSelector()
                            .withLongTermSupport()
                            .withLatest()
                            .withScala("2.12")),
                sparkVersion),
        "GET clusters/spark-versions");
    call(
        () ->
            equal(
                w.clusters().selectNodeType(new NodeTypeSelector().withLocalDisk()), nodeTypeId),
        "GET clusters/list-node-types");
    call(
        () -> equal(w.clusters().listZones().getZones().isEmpty(), false),
        "GET clusters/list-zones");
    String[] made = {""};
    call(
        () -> {
          ClusterDetails found =
              w.clusters()
                  .create(
                      new CreateCluster()
                          .setClusterName(name)
                          .setSparkVersion(sparkVersion)
                          .setNodeTypeId(nodeTypeId)
                          .setNumWorkers(0L))
                  .get(WAIT);
          made[0] = found.getClusterId();
          equal(found.getState(), State.RUNNING);
        },
        "POST clusters/create",
        "GET clusters/get");
    String id = made[0];
    call(() -> equal(clusterIds().contains(id), true), "GET clusters/list");
    call(
        () -> equal(granted("clusters", id).get(user), PermissionLevel.CAN_MANAGE),
        "GET permissions/clusters/{id}");
    call(
        () -> {
          grant("clusters", id, PermissionLevel.CAN_ATTACH_TO);
          equal(granted("clusters", id).get("users"), PermissionLevel.CAN_ATTACH_TO);
        },
        "PATCH permissions/clusters/{id}");
    libraries(id);
    call(
        () -> {
          ClusterDetails found =
              w.clusters().resize(new ResizeCluster().setClusterId(id).setNumWorkers(1L)).get(WAIT);
          equal(found.getNumWorkers(), 1L);
        },
        "POST clusters/resize");
    call(
        () -> {
          ClusterDetails found =
              w.clusters().restart(new RestartCluster().setClusterId(id)).get(WAIT);
          equal(found.getState(), State.RUNNING);
        },
        "POST clusters/restart");
    call(
        () -> {
          EditCluster asked =
              new EditCluster()
                  .setClusterId(id)
                  .setClusterName(name + "-2")
                  .setSparkVersion(sparkVersion)
                  .setNodeTypeId(nodeTypeId)
                  .setNumWorkers(0L);
          equal(w.clusters().edit(asked).get(WAIT).getClusterName(), name + "-2");
        },
        "POST clusters/edit");
    call(
        () -> {
          UpdateCluster asked =
              new UpdateCluster()
                  .setClusterId(id)
                  .setUpdateMask("autotermination_minutes")
                  .setCluster(new UpdateClusterResource().setAutoterminationMinutes(33L));
          equal(w.clusters().update(asked).get(WAIT).getAutoterminationMinutes(), 33L);
        },
        "POST clusters/update");
    call(
        () -> {
          ClusterDetails found =
              w.clusters().delete(new DeleteCluster().setClusterId(id)).get(WAIT);
          equal(found.getState(), State.TERMINATED);
        },
        "POST clusters/delete");
    call(
        () -> equal(w.clusters().start(id).get(WAIT).getState(), State.RUNNING),
        "POST clusters/start");
    call(
        () -> {
          GetEvents asked = new GetEvents().setClusterId(id).setLimit(2L);
          List<EventType> found = all(w.clusters().events(asked), each -> each.getType());
          equal(found.contains(EventType.CREATING), true);
        },
        "POST clusters/events");
    call(() -> w.clusters().pin(id), "POST clusters/pin");
    call(() -> w.clusters().unpin(id), "POST clusters/unpin");
    call(
        () -> {
          w.clusters().permanentDelete(id);
          equal(clusterIds().contains(id), false);
        },
        "POST clusters/permanent-delete");
    call(
        () -> all(w.clusterPolicies().list(new ListClusterPoliciesRequest()), each -> each),
        "GET policies/clusters/list");
    call(
        () -> w.clusterPolicies().create(new CreatePolicy().setName(name).setDefinition("{}")),
        "POST policies/clusters/create");
    call(() -> all(w.instancePools().list(), each -> each), "GET instance-pools/list");
    call(
        () ->
            w.instancePools()
                .create(
                    new CreateInstancePool().setInstancePoolName(name).setNodeTypeId(nodeTypeId)),
        "POST instance-pools/create");
  }

  private List<String> clusterIds() {
    return all(w.clusters().list(new ListClustersRequest()), ClusterDetails::getClusterId);
  }

  private void libraries(String id) throws Exception {
    call(
        () -> {
          w.libraries().install(new InstallLibraries().setClusterId(id).setLibraries(wheels()));
          until(() -> libraryStatus(id).equals(List.of(LibraryInstallStatus.INSTALLED)));
        },
        "POST libraries/install",
        "GET libraries/cluster-status");
    call(
        () ->
            equal(
                all(w.libraries().allClusterStatuses(), each -> each.getClusterId()).contains(id),
                true),
        "GET libraries/all-cluster-statuses");
    call(
        () -> {
          w.libraries().uninstall(new UninstallLibraries().setClusterId(id).setLibraries(wheels()));
          equal(libraryStatus(id), List.of(LibraryInstallStatus.UNINSTALL_ON_RESTART));
        },
        "POST libraries/uninstall");
  }

  private List<LibraryInstallStatus> libraryStatus(String id) {
    return all(w.libraries().clusterStatus(id), LibraryFullStatus::getStatus);
  }

  private void volumes() throws Exception {
    String full = "main.default." + name;
    call(
        () ->
            w.volumes()
                .create(
                    new CreateVolumeRequestContent()
                        .setCatalogName("main")
                        .setSchemaName("default")
                        .setName(name)
                        .setVolumeType(VolumeType.MANAGED)),
        "POST unity-catalog/volumes");
    call(
        () ->
            equal(
                all(w.volumes().list("main", "default"), VolumeInfo::getFullName).contains(full),
                true),
        "GET unity-catalog/volumes");
    call(
        () -> equal(w.volumes().read(full).getFullName(), full),
        "GET unity-catalog/volumes/{name}");
    call(
        () -> {
          w.grants()
              .update(
                  new UpdatePermissions()
                      .setSecurableType("volume")
                      .setFullName(full)
                      .setChanges(
                          List.of(
                              new PermissionsChange()
                                  .setPrincipal("account users")
                                  .setAdd(List.of(Privilege.READ_VOLUME)))));
          equal(
              all(
                  w.grants().get("volume", full).getPrivilegeAssignments(),
                  each -> each.getPrincipal() + " " + each.getPrivileges()),
              List.of("account users [READ_VOLUME]"));
        },
        "PATCH unity-catalog/permissions/{path}",
        "GET unity-catalog/permissions/{path}");
    volumeFiles("/Volumes/main/default/" + name);
    call(
        () -> {
          w.volumes().delete(full);
          refused(() -> w.volumes().read(full));
        },
        "DELETE unity-catalog/volumes/{name}");
    call(
        () -> all(w.catalogs().list(new ListCatalogsRequest()), each -> each),
        "GET unity-catalog/catalogs");
  }

  private void volumeFiles(String root) throws Exception {
    String folder = root + "/a folder";
    String file = root + "/file.bin"; // of an upload, it escapes no part of the path
    String below = folder + "/below";
    call(
        () -> w.files().createDirectory(new CreateDirectoryRequest().setDirectoryPath(below)),
        "PUT fs/directories{path}");
    call(() -> w.files().getDirectoryMetadata(below), "HEAD fs/directories{path}");
    call(
        () ->
            w.files()
                .upload(
                    new UploadRequest()
                        .setFilePath(file)
                        .setContents(new ByteArrayInputStream(CONTENT))
                        .setOverwrite(true)),
        "PUT fs/files{path}",
        "PUT fs/files{path}: a body of unknown length");
    call(
        () -> {
          try (InputStream found = w.files().download(file).getContents()) {
            equal(Arrays.equals(found.readAllBytes(), CONTENT), true);
          }
        },
        "GET fs/files{path}");
    call(
        () -> equal(w.files().getMetadata(file).getContentLength(), (long) CONTENT.length),
        "HEAD fs/files{path}");
    call(
        () -> {
          List<String> found =
              all(w.files().listDirectoryContents(root), DirectoryEntry::getName);
          Collections.sort(found);
          equal(found, List.of("a folder", "file.bin"));
        },
        "GET fs/directories{path}");
    call(
        () -> {
          w.files().delete(file);
          refused(() -> w.files().getMetadata(file));
        },
        "DELETE fs/files{path}");
    call(
        () -> {
          w.files().deleteDirectory(below);
          equal(all(w.files().listDirectoryContents(folder), each -> each), List.of());
        },
        "DELETE fs/directories{path}");
  }

  private void workspaceFiles() throws Exception {
    String home = "/Users/" + user + "/" + name;
    call(() -> w.workspace().mkdirs(home), "POST workspace/mkdirs");
    call(
        () ->
            w.workspace()
                .importContent(
                    new Import()
                        .setPath(home + "/file")
                        .setFormat(ImportFormat.AUTO)
                        .setOverwrite(true)
                        .setContent(TEXT)),
        "POST workspace/import");
    call(
        () -> {
          ExportRequest asked = new ExportRequest().setPath(home + "/file");
          equal(w.workspace().export(asked.setFormat(ExportFormat.AUTO)).getContent(), TEXT);
        },
        "GET workspace/export");
    call(
        () -> equal(w.workspace().getStatus(home + "/file").getObjectType(), ObjectType.FILE),
        "GET workspace/get-status");
    call(
        () -> equal(all(w.workspace().list(home), ObjectInfo::getPath), List.of(home + "/file")),
        "GET workspace/list");
    call(
        () -> {
          w.workspace().delete(new Delete().setPath(home).setRecursive(true));
          refused(() -> w.workspace().getStatus(home));
        },
        "POST workspace/delete");
  }

  private void dbfs() throws Exception {
    String root = "/parity/" + name;
    call(() -> w.dbfs().mkdirs(root), "POST dbfs/mkdirs");
    call(
        () ->
            w.dbfs().put(new Put().setPath(root + "/put").setContents(TEXT).setOverwrite(true)),
        "POST dbfs/put");
    call(
        () -> {
          long handle = w.dbfs().create(new Create().setPath(root + "/handle")).getHandle();
          w.dbfs().addBlock(new AddBlock().setHandle(handle).setData(TEXT));
          w.dbfs().close(handle);
          try (OutputStream blocks = w.dbfs().getOutputStream(root + "/blocks")) {
            blocks.write(CONTENT);
          }
        },
        "POST dbfs/create",
        "POST dbfs/add-block",
        "POST dbfs/close");
    call(
        () -> {
          for (String each : List.of("/handle", "/blocks")) {
            try (InputStream found = w.dbfs().open(root + each)) {
              equal(Arrays.equals(found.readAllBytes(), CONTENT), true);
            }
          }
        },
        "GET dbfs/read");
    call(
        () -> equal(w.dbfs().getStatus(root + "/blocks").getFileSize(), (long) CONTENT.length),
        "GET dbfs/get-status");
    call(
        () -> {
          List<String> found = all(w.dbfs().list(root), FileInfo::getPath);
          Collections.sort(found);
          equal(found, List.of(root + "/blocks", root + "/handle", root + "/put"));
        },
        "GET dbfs/list");
    call(
        () -> {
          Move asked = new Move().setSourcePath(root + "/put");
          w.dbfs().move(asked.setDestinationPath(root + "/moved"));
          equal(w.dbfs().getStatus(root + "/moved").getFileSize(), (long) CONTENT.length);
        },
        "POST dbfs/move");
    call(
        () -> {
          w.dbfs()
              .delete(
                  new com.databricks.sdk.service.files.Delete().setPath(root).setRecursive(true));
          refused(() -> w.dbfs().getStatus(root));
        },
        "POST dbfs/delete");
  }

  private void secrets() throws Exception {
    call(
        () -> w.secrets().createScope(new CreateScope().setScope(name)),
        "POST secrets/scopes/create");
    call(() -> equal(scopes().contains(name), true), "GET secrets/scopes/list");
    call(
        () ->
            w.secrets()
                .putSecret(new PutSecret().setScope(name).setKey("key").setStringValue("välue")),
        "POST secrets/put");
    call(() -> equal(w.secrets().get(name, "key"), "välue"), "GET secrets/get");
    call(
        () -> equal(all(w.secrets().listSecrets(name), SecretMetadata::getKey), List.of("key")),
        "GET secrets/list");
    call(
        () -> {
          w.secrets().deleteSecret(new DeleteSecret().setScope(name).setKey("key"));
          equal(all(w.secrets().listSecrets(name), SecretMetadata::getKey), List.of());
        },
        "POST secrets/delete");
    call(
        () ->
            w.secrets()
                .putAcl(
                    new PutAcl()
                        .setScope(name)
                        .setPrincipal("users")
                        .setPermission(AclPermission.READ)),
        "POST secrets/acls/put");
    call(
        () -> equal(w.secrets().getAcl(name, "users").getPermission(), AclPermission.READ),
        "GET secrets/acls/get");
    call(
        () -> {
          List<String> found = all(w.secrets().listAcls(name), AclItem::getPrincipal);
          equal(found.size(), 2);
          equal(found.containsAll(List.of(user, "users")), true);
        },
        "GET secrets/acls/list");
    call(
        () -> {
          w.secrets().deleteAcl(new DeleteAcl().setScope(name).setPrincipal("users"));
          equal(all(w.secrets().listAcls(name), AclItem::getPrincipal), List.of(user));
        },
        "POST secrets/acls/delete");
    call(
        () -> {
          w.secrets().deleteScope(name);
          equal(scopes().contains(name), false);
        },
        "POST secrets/scopes/delete");
  }

  private List<String> scopes() {
    return all(w.secrets().listScopes(), SecretScope::getName);
  }

  private void others() throws Exception {
    call(() -> all(w.tokens().list(), each -> each), "GET token/list");
    call(() -> all(w.repos().list(new ListReposRequest()), each -> each), "GET repos");
    call(
        () -> all(w.pipelines().listPipelines(new ListPipelinesRequest()), each -> each),
        "GET pipelines");
    call(
        () -> all(w.warehouses().list(new ListWarehousesRequest()), each -> each),
        "GET sql/warehouses");
  }
}
