package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestADiskThatFailsEndsTheGateway takes the database's file away from under
// the store: the next commit fails in a way that leaves open what is on the
// disk, and the gateway ends with an error that says so.
func TestADiskThatFailsEndsTheGateway(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.IMAP.Listen, cfg.SMTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.DataDir = dir
	env := func(string) (string, bool) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), true }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	open := make(chan struct{})
	g, err := New(ctx, cfg, Options{LookupEnv: env, Listener: listener, Started: func(string) { close(open) }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-open
	update := func() error {
		return g.store.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("test", []byte("x")) })
	}
	if err := update(); err != nil {
		t.Fatal(err)
	}
	back := breakFile(t, filepath.Join(dir, "postern.db"))
	if err := update(); !errors.Is(err, bolt.ErrBroken) {
		t.Errorf("an update: %v", err)
	}
	err = <-ended
	if !errors.Is(err, bolt.ErrBroken) || !strings.Contains(err.Error(), "see what the disk says") {
		t.Errorf("the gateway ended with %v", err)
	}
	back()
	if g, err = New(ctx, cfg, Options{LookupEnv: env}); err != nil {
		t.Fatalf("started again: %v", err)
	}
	if err := update(); err != nil {
		t.Errorf("started again: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// breakFile makes every write to an open file fail.
func breakFile(t *testing.T, path string) (back func()) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull) // for reading alone
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == path {
			fd, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			saved, err := syscall.Dup(fd)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = syscall.Close(saved), null.Close() }
		}
	}
	t.Fatalf("%s is not open", path)
	return nil
}
