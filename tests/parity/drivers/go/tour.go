// The Go SDK. Started as the Python drivers are: see tour.py.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/databricks/databricks-sdk-go"
	"github.com/databricks/databricks-sdk-go/retries"
	"github.com/databricks/databricks-sdk-go/service/catalog"
	"github.com/databricks/databricks-sdk-go/service/compute"
	"github.com/databricks/databricks-sdk-go/service/files"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/jobs"
	"github.com/databricks/databricks-sdk-go/service/pipelines"
	"github.com/databricks/databricks-sdk-go/service/sql"
	"github.com/databricks/databricks-sdk-go/service/workspace"
)

type factsFile struct {
	Host         string `json:"host"`
	Token        string `json:"token"`
	User         string `json:"user"`
	ClusterId    string `json:"cluster_id"`
	Wheel        string `json:"wheel"`
	SparkVersion string `json:"spark_version"`
	NodeTypeId   string `json:"node_type_id"`
	Name         string `json:"name"`
}

var (
	ctx   = context.Background()
	facts factsFile
	w     *databricks.WorkspaceClient
)

// call notes the outcome of the calls of a body, under the keys of their rows.
func call(body func() error, keys ...string) {
	var failed *string
	if err := body(); err != nil {
		text := err.Error()
		failed = &text
	}
	file, _ := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	defer file.Close()
	for _, key := range keys {
		line, _ := json.Marshal(map[string]any{"call": key, "failed": failed})
		file.Write(append(line, '\n'))
	}
}

func equal(found, wanted any) error {
	if left, right := fmt.Sprint(found), fmt.Sprint(wanted); left != right {
		return fmt.Errorf("found %q, wanted %q", left, right)
	}
	return nil
}

func holds(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("found %q, wanted it to hold %q", text, part)
	}
	return nil
}

func refused(err error) error {
	if err == nil {
		return errors.New("this should have been refused")
	}
	return nil
}

func until(condition func() (bool, error)) error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if done, err := condition(); done || err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("this never came to pass")
}

func task(name string, parameters ...string) jobs.Task {
	return jobs.Task{
		TaskKey:           "main",
		ExistingClusterId: facts.ClusterId,
		Libraries:         []compute.Library{{Whl: facts.Wheel}},
		PythonWheelTask: &jobs.PythonWheelTask{
			PackageName: "probe", EntryPoint: "run-" + name, Parameters: parameters,
		},
	}
}

func finished(runId int64) (run *jobs.Run, err error) {
	err = until(func() (bool, error) {
		run, err = w.Jobs.GetRun(ctx, jobs.GetRunRequest{RunId: runId})
		return err == nil && run.EndTime != 0, err
	})
	return run, err
}

func output(run *jobs.Run) (*jobs.RunOutput, error) {
	return w.Jobs.GetRunOutputByRunId(ctx, run.Tasks[len(run.Tasks)-1].RunId)
}

func trigger(jobId int64) (*jobs.Run, error) {
	waiter, err := w.Jobs.RunNow(ctx, jobs.RunNow{JobId: jobId})
	if err != nil {
		return nil, err
	}
	return finished(waiter.RunId)
}

func create(name string, tasks ...jobs.Task) (int64, error) {
	made, err := w.Jobs.Create(ctx, jobs.CreateJob{Name: name, Tasks: tasks})
	if err != nil {
		return 0, err
	}
	return made.JobId, nil
}

func jobsAndRuns() {
	var job, failing, holding, held int64
	var run, failed *jobs.Run
	name := facts.Name
	call(func() error {
		me, err := w.CurrentUser.Me(ctx, iam.MeRequest{})
		if err != nil {
			return err
		}
		return equal(me.UserName, facts.User)
	}, "GET preview/scim/v2/Me")
	call(func() (err error) {
		job, err = create(name, task("echo", "one"))
		return err
	}, "POST jobs/create")
	call(func() error {
		found, err := w.Jobs.GetByJobId(ctx, job)
		if err != nil {
			return err
		}
		return equal(found.Settings.Name, name)
	}, "GET jobs/get")
	call(func() error {
		found, err := w.Jobs.ListAll(ctx, jobs.ListJobsRequest{Name: name})
		if err != nil {
			return err
		}
		return equal([]int64{found[0].JobId}, []int64{job})
	}, "GET jobs/list", "GET jobs/list: by name")
	call(func() error {
		if _, err := create(name+"-1", task("echo")); err != nil {
			return err
		}
		found, err := w.Jobs.ListAll(ctx, jobs.ListJobsRequest{Limit: 1, ExpandTasks: true})
		if err != nil {
			return err
		}
		return equal(len(found) > 1, true)
	}, "GET jobs/list: page by page")
	call(func() error {
		change := &jobs.JobSettings{TimeoutSeconds: 600}
		if err := w.Jobs.Update(ctx, jobs.UpdateJob{JobId: job, NewSettings: change}); err != nil {
			return err
		}
		found, err := w.Jobs.GetByJobId(ctx, job)
		if err != nil {
			return err
		}
		return equal(found.Settings.TimeoutSeconds, 600)
	}, "POST jobs/update")
	call(func() error {
		change := jobs.JobSettings{Name: name, Tasks: []jobs.Task{task("echo", "one")}}
		if err := w.Jobs.Reset(ctx, jobs.ResetJob{JobId: job, NewSettings: change}); err != nil {
			return err
		}
		found, err := w.Jobs.GetByJobId(ctx, job)
		if err != nil {
			return err
		}
		return equal(found.Settings.TimeoutSeconds, 0)
	}, "POST jobs/reset")
	call(func() (err error) {
		if run, err = trigger(job); err != nil {
			return err
		}
		return equal(run.State.ResultState, jobs.RunResultStateSuccess)
	}, "POST jobs/run-now", "GET jobs/runs/get")
	call(func() error {
		found, err := w.Jobs.RunNowAndWait(ctx, jobs.RunNow{JobId: job}, retries.Timeout[jobs.Run](time.Minute))
		if err != nil {
			return err
		}
		return equal(found.State.ResultState, jobs.RunResultStateSuccess)
	}, "POST jobs/run-now: waited for by the client")
	call(func() error {
		asked := jobs.RunNow{JobId: job, IdempotencyToken: name}
		first, err := w.Jobs.RunNow(ctx, asked)
		if err != nil {
			return err
		}
		second, err := w.Jobs.RunNow(ctx, asked)
		if err != nil {
			return err
		}
		_, err = finished(first.RunId)
		return errors.Join(err, equal(first.RunId, second.RunId))
	}, "POST jobs/run-now: the same idempotency token twice")
	call(func() error {
		found, err := w.Jobs.ListRunsAll(ctx, jobs.ListRunsRequest{JobId: job, Limit: 1})
		if err != nil {
			return err
		}
		return equal(len(found), 3)
	}, "GET jobs/runs/list")
	call(func() error {
		found, err := output(run)
		if err != nil {
			return err
		}
		return holds(found.Logs, `["probe", "one"]`)
	}, "GET jobs/runs/get-output", "GET jobs/runs/get-output: of a wheel task, arguments and all")
	call(func() error {
		one := task("echo", "submitted")
		asked := jobs.SubmitTask{
			TaskKey: "main", ExistingClusterId: facts.ClusterId,
			Libraries: one.Libraries, PythonWheelTask: one.PythonWheelTask,
		}
		made, err := w.Jobs.Submit(ctx, jobs.SubmitRun{Tasks: []jobs.SubmitTask{asked}})
		if err != nil {
			return err
		}
		submitted, err := made.GetWithTimeout(time.Minute)
		if err != nil {
			return err
		}
		found, err := output(submitted)
		if err != nil {
			return err
		}
		return holds(found.Logs, `["probe", "submitted"]`)
	}, "POST jobs/runs/submit", "GET jobs/runs/get-output: of a run that was submitted",
		"POST jobs/runs/submit: waited for by the client")
	call(func() (err error) {
		if failing, err = create(name+"-fails", task("fail")); err != nil {
			return err
		}
		if failed, err = trigger(failing); err != nil {
			return err
		}
		found, err := output(failed)
		if err != nil {
			return err
		}
		return errors.Join(
			equal(failed.State.ResultState, jobs.RunResultStateFailed),
			equal(found.Error, "ValueError: of the test"), holds(found.ErrorTrace, "Traceback"))
	}, "GET jobs/runs/get-output: error and trace of a run that failed")
	call(func() error {
		change := jobs.JobSettings{Name: name, Tasks: []jobs.Task{task("echo", "repaired")}}
		if err := w.Jobs.Reset(ctx, jobs.ResetJob{JobId: failing, NewSettings: change}); err != nil {
			return err
		}
		asked := jobs.RepairRun{RunId: failed.RunId, RerunTasks: []string{"main"}}
		if _, err := w.Jobs.RepairRun(ctx, asked); err != nil {
			return err
		}
		found, err := finished(failed.RunId)
		if err != nil {
			return err
		}
		return equal(found.State.ResultState, jobs.RunResultStateSuccess)
	}, "POST jobs/runs/repair")
	call(func() error {
		_, err := w.Jobs.ExportRun(ctx, jobs.ExportRunRequest{RunId: run.Tasks[0].RunId})
		return err
	}, "GET jobs/runs/export")
	hold := func() (err error) {
		waiter, err := w.Jobs.RunNow(ctx, jobs.RunNow{JobId: holding})
		if err == nil {
			held = waiter.RunId
		}
		return err
	}
	canceled := func(err error) error {
		if err != nil {
			return err
		}
		found, err := finished(held)
		if err != nil {
			return err
		}
		return equal(found.State.ResultState, jobs.RunResultStateCanceled)
	}
	call(func() (err error) {
		if holding, err = create(name+"-holds", task("await_others", "/", "tmp", "100000")); err != nil {
			return err
		}
		if err := hold(); err != nil {
			return err
		}
		_, err = w.Jobs.CancelRun(ctx, jobs.CancelRun{RunId: held})
		return canceled(err)
	}, "POST jobs/runs/cancel")
	call(func() error {
		if err := hold(); err != nil {
			return err
		}
		return canceled(w.Jobs.CancelAllRuns(ctx, jobs.CancelAllRuns{JobId: holding}))
	}, "POST jobs/runs/cancel-all")
	call(func() error {
		if err := w.Jobs.DeleteRunByRunId(ctx, held); err != nil {
			return err
		}
		_, err := w.Jobs.GetRun(ctx, jobs.GetRunRequest{RunId: held})
		return refused(err)
	}, "POST jobs/runs/delete")
	permissions(fmt.Sprint(job))
	call(func() error {
		if err := w.Jobs.DeleteByJobId(ctx, job); err != nil {
			return err
		}
		_, err := w.Jobs.GetByJobId(ctx, job)
		return refused(err)
	}, "POST jobs/delete")
}

func permissions(job string) {
	call(func() error {
		_, err := w.Permissions.GetByRequestObjectTypeAndRequestObjectId(ctx, "jobs", job)
		return err
	}, "GET permissions/jobs/{id}")
	call(func() error {
		grant := iam.AccessControlRequest{GroupName: "users", PermissionLevel: "CAN_MANAGE_RUN"}
		found, err := w.Permissions.Update(ctx, iam.UpdateObjectPermissions{
			RequestObjectType: "jobs", RequestObjectId: job,
			AccessControlList: []iam.AccessControlRequest{grant},
		})
		if err != nil {
			return err
		}
		return holds(fmt.Sprint(found.AccessControlList), "users")
	}, "PATCH permissions/jobs/{id}")
	call(func() error {
		grant := iam.AccessControlRequest{UserName: facts.User, PermissionLevel: "IS_OWNER"}
		_, err := w.Permissions.Set(ctx, iam.SetObjectPermissions{
			RequestObjectType: "jobs", RequestObjectId: job,
			AccessControlList: []iam.AccessControlRequest{grant},
		})
		return err
	}, "PUT permissions/jobs/{id}")
	call(func() error {
		_, err := w.Permissions.GetPermissionLevelsByRequestObjectTypeAndRequestObjectId(ctx, "jobs", job)
		return err
	}, "GET permissions/jobs/{id}/permissionLevels")
}

func clusters() {
	var id string
	call(func() error {
		_, err := w.Clusters.SelectSparkVersion(ctx, compute.SparkVersionRequest{LongTermSupport: true, Latest: true})
		return err
	}, "GET clusters/spark-versions")
	call(func() error {
		found, err := w.Clusters.SelectNodeType(ctx, compute.NodeTypeRequest{LocalDisk: true})
		if err != nil {
			return err
		}
		return equal(found, facts.NodeTypeId)
	}, "GET clusters/list-node-types")
	call(func() error {
		_, err := w.Clusters.ListZones(ctx)
		return err
	}, "GET clusters/list-zones")
	call(func() error {
		made, err := w.Clusters.CreateAndWait(ctx, compute.CreateCluster{
			ClusterName: facts.Name, SparkVersion: facts.SparkVersion, NodeTypeId: facts.NodeTypeId,
			NumWorkers: 0, ForceSendFields: []string{"NumWorkers"},
		})
		if err != nil {
			return err
		}
		id = made.ClusterId
		return equal(made.State, compute.StateRunning)
	}, "POST clusters/create", "GET clusters/get")
	call(func() error {
		found, err := w.Clusters.ListAll(ctx, compute.ListClustersRequest{})
		if err != nil {
			return err
		}
		return equal(len(found) > 1, true)
	}, "GET clusters/list")
	wheel := []compute.Library{{Whl: facts.Wheel}}
	status := func() (string, error) {
		found, err := w.Libraries.ClusterStatusByClusterId(ctx, id)
		if err != nil {
			return "", err
		}
		return string(found.LibraryStatuses[0].Status), nil
	}
	call(func() error {
		if err := w.Libraries.Install(ctx, compute.InstallLibraries{ClusterId: id, Libraries: wheel}); err != nil {
			return err
		}
		return until(func() (bool, error) {
			found, err := status()
			return found == "INSTALLED", err
		})
	}, "POST libraries/install", "GET libraries/cluster-status")
	call(func() error {
		_, err := w.Libraries.AllClusterStatusesAll(ctx)
		return err
	}, "GET libraries/all-cluster-statuses")
	call(func() error {
		if err := w.Libraries.Uninstall(ctx, compute.UninstallLibraries{ClusterId: id, Libraries: wheel}); err != nil {
			return err
		}
		found, err := status()
		return errors.Join(err, equal(found, "UNINSTALL_ON_RESTART"))
	}, "POST libraries/uninstall")
	call(func() error {
		_, err := w.Clusters.ResizeAndWait(ctx, compute.ResizeCluster{ClusterId: id, NumWorkers: 1})
		return err
	}, "POST clusters/resize")
	call(func() error {
		_, err := w.Clusters.RestartAndWait(ctx, compute.RestartCluster{ClusterId: id})
		return err
	}, "POST clusters/restart")
	call(func() error {
		_, err := w.Clusters.EditAndWait(ctx, compute.EditCluster{
			ClusterId: id, ClusterName: facts.Name + "-2", SparkVersion: facts.SparkVersion,
			NodeTypeId: facts.NodeTypeId, NumWorkers: 0, ForceSendFields: []string{"NumWorkers"},
		})
		return err
	}, "POST clusters/edit")
	call(func() error {
		change := &compute.UpdateClusterResource{AutoterminationMinutes: 33}
		_, err := w.Clusters.UpdateAndWait(ctx, compute.UpdateCluster{
			ClusterId: id, UpdateMask: "autotermination_minutes", Cluster: change,
		})
		return err
	}, "POST clusters/update")
	call(func() error {
		_, err := w.Clusters.DeleteAndWait(ctx, compute.DeleteCluster{ClusterId: id})
		return err
	}, "POST clusters/delete")
	call(func() error {
		_, err := w.Clusters.StartAndWait(ctx, compute.StartCluster{ClusterId: id})
		return err
	}, "POST clusters/start")
	call(func() error {
		found := 0
		events := w.Clusters.Events(ctx, compute.GetEvents{ClusterId: id, Limit: 2})
		for events.HasNext(ctx) {
			if _, err := events.Next(ctx); err != nil {
				return err
			}
			found++
		}
		return equal(found > 2, true)
	}, "POST clusters/events")
	call(func() error { return w.Clusters.PinByClusterId(ctx, id) }, "POST clusters/pin")
	call(func() error { return w.Clusters.UnpinByClusterId(ctx, id) }, "POST clusters/unpin")
	call(func() error { return w.Clusters.PermanentDeleteByClusterId(ctx, id) }, "POST clusters/permanent-delete")
	call(func() error {
		_, err := w.ClusterPolicies.ListAll(ctx, compute.ListClusterPoliciesRequest{})
		return err
	}, "GET policies/clusters/list")
	call(func() error {
		_, err := w.InstancePools.ListAll(ctx)
		return err
	}, "GET instance-pools/list")
}

func volumes() {
	full := "main.default." + facts.Name
	root := "/Volumes/main/default/" + facts.Name
	content := []byte("some bytes \x00 and more")
	call(func() error {
		_, err := w.Volumes.Create(ctx, catalog.CreateVolumeRequestContent{
			CatalogName: "main", SchemaName: "default", Name: facts.Name, VolumeType: catalog.VolumeTypeManaged,
		})
		return err
	}, "POST unity-catalog/volumes")
	call(func() error {
		_, err := w.Volumes.ListAll(ctx, catalog.ListVolumesRequest{CatalogName: "main", SchemaName: "default"})
		return err
	}, "GET unity-catalog/volumes")
	call(func() error {
		_, err := w.Volumes.ReadByName(ctx, full)
		return err
	}, "GET unity-catalog/volumes/{name}")
	call(func() error {
		change := catalog.PermissionsChange{
			Principal: "account users", Add: []catalog.Privilege{catalog.PrivilegeReadVolume},
		}
		_, err := w.Grants.Update(ctx, catalog.UpdatePermissions{
			SecurableType: "volume", FullName: full, Changes: []catalog.PermissionsChange{change},
		})
		if err != nil {
			return err
		}
		found, err := w.Grants.GetBySecurableTypeAndFullName(ctx, "volume", full)
		if err != nil {
			return err
		}
		return equal(found.PrivilegeAssignments[0].Principal, "account users")
	}, "PATCH unity-catalog/permissions/{path}", "GET unity-catalog/permissions/{path}")
	call(func() error {
		return w.Files.CreateDirectory(ctx, files.CreateDirectoryRequest{DirectoryPath: root + "/below"})
	}, "PUT fs/directories{path}")
	call(func() error {
		return w.Files.GetDirectoryMetadataByDirectoryPath(ctx, root+"/below")
	}, "HEAD fs/directories{path}")
	call(func() error {
		return w.Files.Upload(ctx, files.UploadRequest{
			FilePath: root + "/file", Contents: io.NopCloser(bytes.NewReader(content)), Overwrite: true,
		})
	}, "PUT fs/files{path}", "PUT fs/files{path}: a body of unknown length")
	call(func() error {
		found, err := w.Files.DownloadByFilePath(ctx, root+"/file")
		if err != nil {
			return err
		}
		defer found.Contents.Close()
		read, err := io.ReadAll(found.Contents)
		return errors.Join(err, equal(string(read), string(content)))
	}, "GET fs/files{path}")
	call(func() error {
		found, err := w.Files.GetMetadataByFilePath(ctx, root+"/file")
		if err != nil {
			return err
		}
		return equal(found.ContentLength, len(content))
	}, "HEAD fs/files{path}")
	call(func() error {
		found, err := w.Files.ListDirectoryContentsAll(ctx, files.ListDirectoryContentsRequest{DirectoryPath: root})
		if err != nil {
			return err
		}
		return equal(len(found), 2)
	}, "GET fs/directories{path}")
	call(func() error { return w.Files.DeleteByFilePath(ctx, root+"/file") }, "DELETE fs/files{path}")
	call(func() error {
		return w.Files.DeleteDirectoryByDirectoryPath(ctx, root+"/below")
	}, "DELETE fs/directories{path}")
	call(func() error {
		if err := w.Volumes.DeleteByName(ctx, full); err != nil {
			return err
		}
		_, err := w.Volumes.ReadByName(ctx, full)
		return refused(err)
	}, "DELETE unity-catalog/volumes/{name}")
	call(func() error {
		_, err := w.Catalogs.ListAll(ctx, catalog.ListCatalogsRequest{})
		return err
	}, "GET unity-catalog/catalogs")
}

func workspaceFiles() {
	home := "/Users/" + facts.User + "/" + facts.Name
	content := "print(1)\n"
	call(func() error { return w.Workspace.MkdirsByPath(ctx, home) }, "POST workspace/mkdirs")
	call(func() error {
		return w.Workspace.Import(ctx, workspace.Import{
			Path: home + "/file", Format: workspace.ImportFormatAuto, Overwrite: true,
			Content: base64.StdEncoding.EncodeToString([]byte(content)),
		})
	}, "POST workspace/import")
	call(func() error {
		return w.Workspace.Upload(ctx, home+"/form", strings.NewReader(content), workspace.UploadFormat(workspace.ImportFormatAuto))
	}, "POST workspace/import: as a multipart form")
	call(func() error {
		found, err := w.Workspace.Export(ctx, workspace.ExportRequest{Path: home + "/file", Format: workspace.ExportFormatAuto})
		if err != nil {
			return err
		}
		read, err := base64.StdEncoding.DecodeString(found.Content)
		return errors.Join(err, equal(string(read), content))
	}, "GET workspace/export")
	call(func() error {
		found, err := w.Workspace.Download(ctx, home+"/form")
		if err != nil {
			return err
		}
		defer found.Close()
		read, err := io.ReadAll(found)
		return errors.Join(err, equal(string(read), content))
	}, "GET workspace/export: as it is (direct_download)")
	call(func() error {
		found, err := w.Workspace.GetStatusByPath(ctx, home+"/file")
		if err != nil {
			return err
		}
		return equal(found.ObjectType, workspace.ObjectTypeFile)
	}, "GET workspace/get-status")
	call(func() error {
		found, err := w.Workspace.ListAll(ctx, workspace.ListWorkspaceRequest{Path: home})
		if err != nil {
			return err
		}
		return equal(len(found), 2)
	}, "GET workspace/list")
	call(func() error {
		if err := w.Workspace.Delete(ctx, workspace.Delete{Path: home, Recursive: true}); err != nil {
			return err
		}
		_, err := w.Workspace.GetStatusByPath(ctx, home)
		return refused(err)
	}, "POST workspace/delete")
}

func dbfs() {
	root := "/parity/" + facts.Name
	content := []byte("some bytes")
	data := base64.StdEncoding.EncodeToString(content)
	call(func() error { return w.Dbfs.MkdirsByPath(ctx, root) }, "POST dbfs/mkdirs")
	call(func() error {
		return w.Dbfs.Put(ctx, files.Put{Path: root + "/put", Contents: data, Overwrite: true})
	}, "POST dbfs/put")
	call(func() error {
		file, err := w.Dbfs.Open(ctx, root+"/blocks", files.FileModeWrite|files.FileModeOverwrite)
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		return errors.Join(err, file.Close())
	}, "POST dbfs/create", "POST dbfs/add-block", "POST dbfs/close")
	call(func() error {
		read, err := w.Dbfs.ReadFile(ctx, root+"/blocks")
		return errors.Join(err, equal(string(read), string(content)))
	}, "GET dbfs/read")
	call(func() error {
		found, err := w.Dbfs.GetStatusByPath(ctx, root+"/blocks")
		if err != nil {
			return err
		}
		return equal(found.FileSize, len(content))
	}, "GET dbfs/get-status")
	call(func() error {
		found, err := w.Dbfs.ListAll(ctx, files.ListDbfsRequest{Path: root})
		if err != nil {
			return err
		}
		return equal(len(found), 2)
	}, "GET dbfs/list")
	call(func() error {
		return w.Dbfs.Move(ctx, files.Move{SourcePath: root + "/put", DestinationPath: root + "/moved"})
	}, "POST dbfs/move")
	call(func() error {
		if err := w.Dbfs.Delete(ctx, files.Delete{Path: root, Recursive: true}); err != nil {
			return err
		}
		_, err := w.Dbfs.GetStatusByPath(ctx, root)
		return refused(err)
	}, "POST dbfs/delete")
}

func secrets() {
	scope := facts.Name
	call(func() error { return w.Secrets.CreateScope(ctx, workspace.CreateScope{Scope: scope}) }, "POST secrets/scopes/create")
	call(func() error {
		found, err := w.Secrets.ListScopesAll(ctx)
		if err != nil {
			return err
		}
		return holds(fmt.Sprint(found), scope)
	}, "GET secrets/scopes/list")
	call(func() error {
		return w.Secrets.PutSecret(ctx, workspace.PutSecret{Scope: scope, Key: "key", StringValue: "välue"})
	}, "POST secrets/put")
	call(func() error {
		found, err := w.Secrets.GetSecret(ctx, workspace.GetSecretRequest{Scope: scope, Key: "key"})
		if err != nil {
			return err
		}
		read, err := base64.StdEncoding.DecodeString(found.Value)
		return errors.Join(err, equal(string(read), "välue"))
	}, "GET secrets/get")
	call(func() error {
		found, err := w.Secrets.ListSecretsAll(ctx, workspace.ListSecretsRequest{Scope: scope})
		if err != nil {
			return err
		}
		return equal(len(found), 1)
	}, "GET secrets/list")
	call(func() error {
		return w.Secrets.DeleteSecret(ctx, workspace.DeleteSecret{Scope: scope, Key: "key"})
	}, "POST secrets/delete")
	call(func() error {
		return w.Secrets.PutAcl(ctx, workspace.PutAcl{Scope: scope, Principal: "users", Permission: workspace.AclPermissionRead})
	}, "POST secrets/acls/put")
	call(func() error {
		found, err := w.Secrets.GetAcl(ctx, workspace.GetAclRequest{Scope: scope, Principal: "users"})
		if err != nil {
			return err
		}
		return equal(found.Permission, workspace.AclPermissionRead)
	}, "GET secrets/acls/get")
	call(func() error {
		found, err := w.Secrets.ListAclsAll(ctx, workspace.ListAclsRequest{Scope: scope})
		if err != nil {
			return err
		}
		return equal(len(found), 2)
	}, "GET secrets/acls/list")
	call(func() error {
		return w.Secrets.DeleteAcl(ctx, workspace.DeleteAcl{Scope: scope, Principal: "users"})
	}, "POST secrets/acls/delete")
	call(func() error { return w.Secrets.DeleteScopeByScope(ctx, scope) }, "POST secrets/scopes/delete")
}

func others() {
	call(func() error { _, err := w.Tokens.ListAll(ctx); return err }, "GET token/list")
	call(func() error { _, err := w.Repos.ListAll(ctx, workspace.ListReposRequest{}); return err }, "GET repos")
	call(func() error {
		_, err := w.Pipelines.ListPipelinesAll(ctx, pipelines.ListPipelinesRequest{})
		return err
	}, "GET pipelines")
	call(func() error { _, err := w.Warehouses.ListAll(ctx, sql.ListWarehousesRequest{}); return err }, "GET sql/warehouses")
}

func main() {
	given, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(given, &facts)
	}
	if err == nil {
		w, err = databricks.NewWorkspaceClient(&databricks.Config{Host: facts.Host, Token: facts.Token, AuthType: "pat"})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, part := range []func(){jobsAndRuns, clusters, volumes, workspaceFiles, dbfs, secrets, others} {
		part()
	}
}
