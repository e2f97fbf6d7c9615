package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
)

// syncBuffer may be written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func waitFor(t *testing.T, path string, ended <-chan int, log *syncBuffer) sandbox.State {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			var s sandbox.State
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatalf("half a ready file: %v", err)
			}
			return s
		case code := <-ended:
			t.Fatalf("ended with %d:\n%s", code, log)
		case <-deadline:
			t.Fatalf("not ready:\n%s", log)
		}
	}
}

func free() []string {
	return []string{"--microsoft", "127.0.0.1:0", "--google", "127.0.0.1:0", "--control", "127.0.0.1:0", "--smtp", "127.0.0.1:0"}
}

func TestProgramEndsWithItsParent(t *testing.T) {
	dir := t.TempDir()
	ready, ca := filepath.Join(dir, "ready.json"), filepath.Join(dir, "ca.pem")
	stdin, parent := io.Pipe()
	var log syncBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- Main(context.Background(), append(free(), "--ready-file", ready, "--ca-out", ca, "--parent-pipe", "--user", "mary@fabrikam.example", "--user", "joan@gmail.example",
			"--redirect-uri", "http://localhost:9/cb"), stdin, io.Discard, &log)
	}()
	state := waitFor(t, ready, ended, &log)
	if pem, err := os.ReadFile(ca); err != nil || string(pem) != state.CA || state.CAFile != ca {
		t.Errorf("ca.pem: %v, %q", err, state.CAFile)
	}
	resp, err := http.Get(state.Control + "/control/users")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `{"cloud":"microsoft",`) ||
		!strings.Contains(string(body), "mary@fabrikam.example") || !strings.Contains(string(body), `{"cloud":"google",`) || !strings.Contains(string(body), "joan@gmail.example") || strings.Contains(string(body), "ada@") {
		t.Errorf("users: %s, %v", body, err)
	}
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d:\n%s", code, &log)
		}
	case <-time.After(time.Minute):
		t.Fatal("it outlived its parent")
	}
	if _, err := os.Stat(ready); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the ready file is still there: %v", err)
	}
}

func TestProgramStopsWhenAsked(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready.json")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var log syncBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, append(free(), "--ready-file", ready, "--no-seed"), nil, io.Discard, &log)
	}()
	waitFor(t, ready, ended, &log)
	began := time.Now()
	cancel()
	if code := <-ended; code != 0 || time.Since(began) > 2*time.Second {
		t.Errorf("exit code %d after %v:\n%s", code, time.Since(began), &log)
	}
}

func TestCommandLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "--allow-http-notifications"},
		{[]string{"--colour"}, 2, "unknown flag --colour"},
		{[]string{"--log-level", "loud"}, 2, "log-level"},
		{[]string{"--mail", "/nowhere/at/all"}, 2, "mail"},
		{append(free(), "--no-seed", "--control", l.Addr().String()), 1, "listen for control"},
	} {
		var out syncBuffer
		if code := Main(t.Context(), c.args, nil, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: code %d, said %q", c.args, code, out.String())
		}
	}
}
