package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// plugin gives the process id of the outlook plugin, once it runs.
func (d *demo) plugin() (pid int) {
	d.t.Helper()
	return d.plugins("outlook")["outlook"]
}

// plugins gives the process ids of all plugins by instance, once these run.
func (d *demo) plugins(names ...string) (pids map[string]int) {
	d.t.Helper()
	d.eventually(fmt.Sprintf("%v run", names), func() bool {
		out, err := exec.Command(program("postern"), "-c", d.info.Config, "plugins", "list", "--json").Output()
		if err != nil {
			d.t.Fatal(err)
		}
		var got struct {
			Instances []struct {
				Instance string
				PID      int
			}
		}
		if err := json.Unmarshal(out, &got); err != nil {
			d.t.Fatalf("plugins list: %v %s", err, out)
		}
		pids = map[string]int{}
		for _, i := range got.Instances {
			pids[i.Instance] = i.PID
		}
		return !slices.ContainsFunc(names, func(name string) bool { return pids[name] <= 0 })
	})
	return pids
}

// kill ends a process at once. Process 0 would be our own group.
func (d *demo) kill(pid int) {
	d.t.Helper()
	if pid <= 1 {
		d.t.Fatalf("there is no process %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
}

// gone waits until a process is no more.
func (d *demo) gone(name string, pid int) {
	d.t.Helper()
	d.eventually(fmt.Sprintf("%s (process %d) is gone", name, pid), func() bool { return !alive(pid) })
}

func TestNothingOutlivesTheDemo(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	plugins := d.plugins("outlook", "gmail")
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.done
	for name, pid := range d.info.Processes {
		d.gone(name, pid)
	}
	for name, pid := range plugins {
		d.gone(name, pid)
	}
}

func TestNoPluginOutlivesItsGateway(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	plugins := d.plugins("outlook", "gmail")
	d.kill(d.info.Processes["gateway"])
	for name, pid := range plugins {
		d.gone(name, pid)
	}
	<-d.done
	if d.err == nil {
		t.Error("the demo ended well although its gateway was killed")
	}
	for name, pid := range d.info.Processes {
		d.gone(name, pid)
	}
}

// TestPluginKilledInMidSync kills the plugin again and again while it reads
// what has arrived: nothing is lost, nothing is told twice.
func TestPluginKilledInMidSync(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	const messages = 120
	for i := range messages {
		d.deliver(ada, fmt.Sprintf("survivor %d", i))
		if i%40 == 20 {
			d.kill(d.plugin())
		}
	}
	d.inStep(ada)
	seen := map[string]int{}
	after := ""
	for {
		var page struct {
			Events struct {
				Edges []struct {
					Node struct{ Message *struct{ Subject string } }
				}
				PageInfo struct {
					EndCursor   string
					HasNextPage bool
				}
			}
		}
		vars := map[string]any{"accounts": []string{d.account(ada)}}
		if after != "" {
			vars["after"] = after
		}
		d.query(`query($accounts: [ID!], $after: String) { events(accounts: $accounts, types: [MESSAGE_CREATED], after: $after, first: 200) {
			edges { node { message { subject } } } pageInfo { endCursor hasNextPage } } }`, vars, &page)
		for _, e := range page.Events.Edges {
			if e.Node.Message != nil {
				seen[e.Node.Message.Subject]++
			}
		}
		if !page.Events.PageInfo.HasNextPage {
			break
		}
		after = page.Events.PageInfo.EndCursor
	}
	for i := range messages {
		if n := seen[fmt.Sprintf("survivor %d", i)]; n != 1 {
			t.Errorf("message %d was told %d times", i, n)
		}
	}
}
