package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store/bolt"
)

// disk is a file system whose free space a test decides.
type disk struct {
	free int64
	err  error
	back int
}

func (d *disk) room(min int64) *room {
	r := newRoom("data", min, func(string) (int64, error) { return d.free, d.err }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	r.back = func(context.Context) { d.back++ }
	return r
}

// TestRoom: below the minimum pulling rests, and it goes on when there is a
// tenth more than that, not before.
func TestRoom(t *testing.T) {
	d := &disk{}
	r := d.room(1000)
	for i, step := range []struct {
		free int64
		held bool
		back int
	}{
		{1000, false, 0}, {999, true, 0}, {1000, true, 0}, {1099, true, 0}, {1100, false, 1},
		{1050, false, 1}, {0, true, 1}, {5000, false, 2},
	} {
		d.free = step.free
		r.check(t.Context())
		if held := r.hold() != nil; held != step.held || held != (r.why() != "") || d.back != step.back {
			t.Errorf("step %d, %d free: held %v, told of room %d times", i, step.free, held, d.back)
		}
		if testutil.ToFloat64(r.freeBytes) != float64(step.free) || (testutil.ToFloat64(r.held) == 1) != step.held {
			t.Errorf("step %d: the metrics say %v free, held %v", i, testutil.ToFloat64(r.freeBytes), testutil.ToFloat64(r.held))
		}
	}
	d.free = 10
	r.check(t.Context())
	err := r.hold()
	if mail.KindOf(err) != mail.KindUnavailable || mail.RetryAfter(err) == 0 || !strings.Contains(err.Error(), "10 bytes are free, disk.min_free demands 1000") {
		t.Errorf("refused with %v", err)
	}
	// A file system that does not answer changes nothing.
	d.err = errors.New("gone")
	if r.check(t.Context()); r.hold() == nil {
		t.Error("an unknown disk is taken for an empty one")
	}
	// A minimum that is lowered is judged without the tenth.
	d.err = nil
	if r.setMin(t.Context(), 10); r.hold() != nil || d.back != 3 {
		t.Errorf("after lowering the minimum: %v, told of room %d times", r.hold(), d.back)
	}
	if r.setMin(t.Context(), 11); r.hold() == nil {
		t.Error("a raised minimum is not kept to")
	}
}

// TestStoreWithoutRoom: what the store says counts, whatever the file system
// says (a quota), until the store takes a write again.
func TestStoreWithoutRoom(t *testing.T) {
	d := &disk{free: 1 << 40}
	r := d.room(1000)
	full := errors.New("still full")
	r.try = func(context.Context) error { return full }
	seen := 0
	commit := r.observed(bolt.Observer{Commit: func(time.Duration, int, error) { seen++ }}).Commit
	commit(0, 1, nil)
	commit(0, 1, errors.New("another trouble"))
	if r.hold() != nil {
		t.Errorf("held by what is no want of room: %v", r.hold())
	}
	commit(0, 1, errors.Join(errors.New("commit"), bolt.ErrFull))
	if r.hold() == nil || seen != 3 {
		t.Errorf("a full store holds nothing back; %d commits were told on", seen)
	}
	if r.check(t.Context()); r.hold() == nil {
		t.Error("it went on while the store has no room")
	}
	full = nil
	if r.check(t.Context()); r.hold() != nil || d.back != 1 {
		t.Errorf("the store has room again: %v, told %d times", r.hold(), d.back)
	}
}

func TestFreeSpace(t *testing.T) {
	if free, err := freeSpace(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("the folder for tests has %d bytes free, %v", free, err)
	}
	if _, err := freeSpace("/no/such/folder"); err == nil {
		t.Error("a folder that is not there has a file system")
	}
}
