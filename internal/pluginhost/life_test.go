//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestKilledInMidCall: callers notice nothing where the verb may be repeated,
// and are told where it may not.
func TestKilledInMidCall(t *testing.T) {
	r, p := runFake(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, err := mailbox(ctx, p, "a0")
	if err != nil {
		t.Fatal(err)
	}
	// Readers that go on all the while, each seeing the change of process.
	var readers sync.WaitGroup
	for n := range 8 {
		readers.Go(func() {
			for {
				m, err := mailbox(ctx, p, fmt.Sprint("a", n))
				if err != nil {
					t.Errorf("reader %d: %v", n, err)
					return
				}
				if m.Name != first.Name {
					return
				}
			}
		})
	}
	_, err = p.Send(ctx, &provider.SendRequest{Call: provider.Call{Account: "a0"}}) // dies of it
	if mail.KindOf(err) != mail.KindOutcomeUnknown {
		t.Errorf("send: %v", err)
	}
	readers.Wait()
	m, err := mailbox(ctx, p, "a0")
	if err != nil || m.ID != "g1" || m.Name == first.Name {
		t.Errorf("after the restart: %v, %v", m, err)
	}
	if s := r.status(t, "one"); s.Restarts != 1 || s.State != StateRunning || s.LastError == nil || !strings.Contains(s.LastError.Error(), "killed") {
		t.Errorf("status: %+v", s)
	}
	eventually(t, "the core is told of the restart", func() bool { return r.core.starts() > 1 })
	if n := r.core.starts(); n != 2 {
		t.Errorf("started %d times", n)
	}
}

// TestStreamKilled: a stream that has told something is not told again.
func TestStreamKilled(t *testing.T) {
	r, p := runFake(t, Options{})
	batches := 0
	err := p.Enumerate(t.Context(), &provider.EnumerateRequest{Call: provider.Call{Account: "a1"}}, func(*provider.EnumerateBatch) error {
		batches++
		return syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL)
	})
	if batches != 1 || mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("%d batches, %v", batches, err)
	}
}

// TestHungPlugin: one that no longer answers is replaced, and its calls come
// to the next.
func TestHungPlugin(t *testing.T) {
	r, p := runFake(t, Options{HealthInterval: 250 * time.Millisecond})
	before := tells(t, p, "pid")
	if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal may come a moment late.
	eventually(t, "another process answers", func() bool { return tells(t, p, "pid")[0] != before[0] })
	if s := r.status(t, "one"); s.Restarts == 0 || !strings.Contains(s.LastError.Error(), "check plugin") {
		t.Errorf("status: %+v", s)
	}
}

// TestDyingPlugin: backoff, not a loop; calls are told within their deadline.
func TestDyingPlugin(t *testing.T) {
	r := run(t, Options{
		Dirs:      []string{pluginDir(t, "dying")},
		Instances: map[string]Instance{"one": {Plugin: "dying"}},
	})
	p, err := r.Provider("one")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two restarts", func() bool { return r.status(t, "one").Restarts >= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := mailbox(ctx, p, "a1"); mail.KindOf(err) != mail.KindUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mailboxes: %v", err)
	}
	if _, err := r.Info("one"); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("info: %v", err)
	}
}

// TestRestartPauses: the first death is followed at once, then pauses double,
// and start over after a healthy while.
func TestRestartPauses(t *testing.T) {
	tests := map[time.Duration][]string{
		time.Hour:       {"in=0s", "in=1ms", "in=2ms"},
		time.Nanosecond: {"in=0s", "in=0s", "in=0s"},
	}
	for healthy, want := range tests {
		r, p := runFake(t, Options{HealthyAfter: healthy})
		for n := range want {
			eventually(t, "a start", func() bool { return r.core.starts() == n+1 })
			if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the last start", func() bool { return r.core.starts() == len(want)+1 })
		tells(t, p, "pid")
		r.stop()
		got := regexp.MustCompile(`msg="plugin will be restarted".* (in=\S+)`).FindAllStringSubmatch(r.logs.String(), -1)
		for n := range want {
			if len(got) != len(want) || got[n][1] != want[n] {
				t.Fatalf("healthy after %s: %q, want %q", healthy, got, want)
			}
		}
	}
}

// TestKilledHost: SIGKILL leaves a host no time for anything, and yet no
// plugin lives on, not even one that is stuck in a call.
func TestKilledHost(t *testing.T) {
	dir := pluginDir(t, "fake")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self)
	host.Env = append(os.Environ(), envTestHost+"="+dir)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := firstLine(out)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(line)
	if err != nil || gone(pid) {
		t.Fatalf("no plugin runs: %q, %v", line, err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	_ = host.Wait() // says that it was killed
	eventually(t, "the plugin is gone", func() bool { return gone(pid) })
	if took := time.Since(died); took > time.Second {
		t.Errorf("the plugin lived on for %s", took)
	}
}

// TestLifelines: each way of losing the host ends the plugin by itself.
func TestLifelines(t *testing.T) {
	path := filepath.Join(pluginDir(t, "fake"), Prefix+"fake")
	launch := func(t *testing.T) *Process {
		t.Helper()
		proc, err := Launch(t.Context(), LaunchOptions{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proc.Stop)
		return proc
	}
	t.Run("standard input", func(t *testing.T) {
		proc := launch(t)
		if err := proc.proc.lifeline.Close(); err != nil {
			t.Fatal(err)
		}
		<-proc.Done()
	})
	t.Run("session", func(t *testing.T) {
		proc := launch(t)
		host := &sessionHost{accounts: newAccounts(time.Now), opened: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- proc.Provider.Session(ctx, host) }()
		<-host.opened
		// A call that does not listen must not keep the process.
		stuck := make(chan error, 1)
		go func() {
			_, err := proc.Provider.Search(context.Background(), &provider.SearchRequest{Text: "deaf"})
			stuck <- err
		}()
		cancel()
		left := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("session: %v", err)
		}
		<-proc.Done()
		if took := time.Since(left); took > time.Second && !raceEnabled {
			t.Errorf("the plugin lived on for %s", took)
		}
		if err := <-stuck; mail.KindOf(err) != mail.KindUnavailable {
			t.Errorf("the stuck call: %v", err)
		}
	})
	t.Run("connection", func(t *testing.T) {
		proc := launch(t)
		host := &sessionHost{accounts: newAccounts(time.Now), opened: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- proc.Provider.Session(t.Context(), host) }()
		<-host.opened
		if err := proc.conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-proc.Done()
		<-ended
	})
}

// TestSocketsAreRemoved: neither a stopped nor a killed plugin leaves files.
func TestSocketsAreRemoved(t *testing.T) {
	tmp, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	r, p := runFake(t, Options{TempDir: tmp})
	tells(t, p, "pid")
	if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a restart", func() bool { return r.core.starts() == 2 })
	r.stop()
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
