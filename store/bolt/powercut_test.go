package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/powercut"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// cutter runs the producer and cuts its power.
type cutter struct {
	t    *testing.T
	key  seal.MasterKey
	rand *rand.Rand
}

// newCutter takes its random numbers from SEED, or from the clock, and says
// which.
func newCutter(t *testing.T) *cutter {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return &cutter{t: t, key: newKey(t), rand: rand.New(rand.NewPCG(seed, 0x637574))}
}

// record runs the producer on a folder to its end.
func (c *cutter) record(dir, mode string) *powercut.Trace {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPowerCutProducer$")
	cmd.Env = append(os.Environ(), cutDir+"="+dir, cutKey+"="+c.key.Encode().Reveal(),
		cutSeed+"="+fmt.Sprint(c.rand.Uint64()), cutMode+"="+mode)
	cmd.Stderr = os.Stderr
	trace, err := powercut.Record(cmd, dir)
	if errors.Is(err, errors.ErrUnsupported) {
		c.t.Skip("recording what a program does to its files needs ptrace as Linux has it")
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return trace
}

// scratch is a folder in memory where there is one: what a cut leaves follows
// from what was asked of the disk, not from how fast the disk is.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "postern-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// points chooses n moments of a run.
func (c *cutter) points(trace *powercut.Trace, n int) (out []int) {
	for range n {
		out = append(out, c.rand.IntN(trace.Len()+1))
	}
	return out
}

// cuts hands each image to judge, as a folder with what was acknowledged, and
// keeps the folder of the first that it does not like.
func (c *cutter) cuts(trace *powercut.Trace, points []int, judge func(dir string, acks []string) error) error {
	c.t.Helper()
	base := scratch(c.t)
	n := 0
	return trace.Cuts(points, c.rand, func(_ int, acks []string, image *powercut.Image) error {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		if err := image.WriteTo(dir); err != nil {
			return err
		}
		if err := judge(dir, acks); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	})
}

// judge opens what a cut has left and holds it against what was acknowledged.
func (c *cutter) judge(dir string, acks []string) error {
	s, err := Open(Options{Path: dir, Keyring: ring(c.t, c.key), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("it does not open again: %w", err)
	}
	err = errors.Join(checkPages(s), checkAcked(s, acks), checkWhole(s))
	// It is no museum: it works on.
	if err == nil && len(acked(acks, "event")) > 0 {
		err = s.Update(context.Background(), func(tx store.Tx) error {
			return tx.AppendEvent(&event.Event{Type: event.MessageUpdated, Account: cutAccounts[0], Time: time.Unix(1_800_000_000, 0)})
		})
	}
	return errors.Join(err, s.Close())
}

// checkPages has the database judge itself.
func checkPages(s *Store) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// checkAcked looks for everything that was acknowledged.
func checkAcked(s *Store, acks []string) error {
	var errs []error
	lost := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is lost: %w", what, err))
		}
	}
	digests := map[string]string{}
	err := s.View(context.Background(), func(tx store.Tx) error {
		settled := map[string]bool{}
		for _, f := range acked(acks, "settled") {
			settled[f[0]] = true
		}
		for _, f := range acked(acks, "event") {
			e, err := tx.EventByID(f[2])
			if err == nil && fmt.Sprint(e.Position) != f[1] {
				err = fmt.Errorf("its position is %d and was %s", e.Position, f[1])
			}
			lost("event "+f[2], err)
			d, err := tx.Delivery(f[3])
			if err == nil && settled[d.ID] && d.State != store.DeliveryDelivered {
				err = fmt.Errorf("it was delivered and is %s", d.State)
			}
			lost("delivery "+f[3], err)
			_, err = tx.Message(f[4])
			lost("message "+f[4], err)
		}
		for _, f := range acked(acks, "submission") {
			sub, err := tx.Submission(f[0])
			if err == nil {
				digests[sub.Blob] = sub.Account
			}
			lost("submission "+f[0], err)
		}
		return nil
	})
	for digest, account := range digests {
		lost("a submission's blob", readBlob(s, account, digest))
	}
	for _, f := range acked(acks, "cached") {
		if err := readBlob(s, f[0], f[1]); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged) {
			errs = append(errs, fmt.Errorf("a cached blob: %w", err))
		}
	}
	return errors.Join(append(errs, err)...)
}

// checkWhole looks at everything that is there, acknowledged or not: no event
// without its change and without what is owed because of it, no gap in a
// sequence, no submission without its bytes.
func checkWhole(s *Store) error {
	var errs []error
	digests := map[string]string{}
	err := s.View(context.Background(), func(tx store.Tx) error {
		events, err := tx.EventsAfter(0, 1<<20)
		if err != nil {
			return err
		}
		sequences := map[string]uint64{}
		for i, e := range events {
			if e.Position != uint64(i+1) || e.Sequence != sequences[e.Account]+1 {
				errs = append(errs, fmt.Errorf("entry %d has position %d and sequence %d after %d", i, e.Position, e.Sequence, sequences[e.Account]))
			}
			sequences[e.Account] = e.Sequence
			if e.Type != event.MessageCreated {
				continue
			}
			_, merr := tx.Message(e.Message)
			d, derr := tx.Delivery(event.HashID("d", "e1", e.ID, "r"))
			body, berr := tx.Body(&store.Delivery{Position: e.Position, Event: e.ID, Rendition: "r"})
			if berr == nil && string(body) != bodyOf(e.ID) {
				berr = errors.New("another body")
			}
			if derr == nil && d.State == store.DeliveryDelivered {
				if tries, err := tx.AttemptsOf(d.ID); err != nil || len(tries) != 1 {
					derr = fmt.Errorf("%d attempts, %w", len(tries), err)
				}
			}
			if err := errors.Join(merr, derr, berr); err != nil {
				errs = append(errs, fmt.Errorf("half of event %s: %w", e.ID, err))
			}
		}
		subs, err := tx.DueSubmissions(time.Unix(1_900_000_000, 0), 1<<20)
		for _, sub := range subs {
			digests[sub.Blob] = sub.Account
		}
		return err
	})
	for digest, account := range digests {
		if err := readBlob(s, account, digest); err != nil {
			errs = append(errs, fmt.Errorf("a submission without its bytes: %w", err))
		}
	}
	return errors.Join(append(errs, err)...)
}

// TestPowerCuts cuts the power 100 times. Each of the four runs goes on from a
// folder that a cut has left, the first one from nothing.
func TestPowerCuts(t *testing.T) {
	c := newCutter(t)
	dir := scratch(t)
	var before []string
	for run := range 4 {
		trace := c.record(dir, "")
		if n := len(acked(trace.Acks(), "event")); n < 70 {
			t.Fatalf("run %d: %d events", run, n)
		}
		points := c.points(trace, 25)
		slices.Sort(points)
		next := filepath.Join(scratch(t), "next")
		last := 0
		err := c.cuts(trace, points, func(image string, acks []string) error {
			acks = append(slices.Clone(before), acks...)
			if err := c.judge(image, acks); err != nil {
				return err
			}
			last++
			if last == 20 { // the next run goes on here
				before = acks
				return os.Rename(image, next)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		t.Logf("run %d: %d events, %d submissions, %d syncs, 25 cuts", run, len(acked(trace.Acks(), "event")), len(acked(trace.Acks(), "submission")), trace.Syncs())
		dir = next
	}
}

// TestPowerCutsAtTheFirstStart cuts at every moment of making a store: an
// empty folder, half a store, and a whole one all have to open.
func TestPowerCutsAtTheFirstStart(t *testing.T) {
	c := newCutter(t)
	trace := c.record(scratch(t), modeOpen)
	var points []int
	for p := range trace.Len() + 1 {
		points = append(points, p, p, p)
	}
	if err := c.cuts(trace, points, c.judge); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCutsAreCaught is the test of the tests: a store that does not sync
// is found out.
func TestPowerCutsAreCaught(t *testing.T) {
	for _, mode := range []string{modeNoSync, modeLooseBlobs} {
		c := newCutter(t)
		trace := c.record(scratch(t), mode)
		caught := 0
		err := c.cuts(trace, c.points(trace, 25), func(dir string, acks []string) error {
			if err := c.judge(dir, acks); err != nil {
				caught++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if caught < 3 {
			t.Errorf("%s: %d of 25 cuts were found out", mode, caught)
		}
	}
}

// TestPowerCutsInAMigration cuts while the format changes: what was there
// before is there after, and each step has visited each account once.
func TestPowerCutsInAMigration(t *testing.T) {
	c := newCutter(t)
	dir := filepath.Join(scratch(t), "data")
	if err := os.CopyFS(dir, os.DirFS(older(t, c.key))); err != nil {
		t.Fatal(err)
	}
	trace := c.record(dir, modeMigrate)
	points := c.points(trace, 40)
	err := c.cuts(trace, points, func(dir string, _ []string) error {
		opts := Options{Path: dir, Keyring: ring(t, c.key), Log: slog.New(slog.DiscardHandler), layout: invented()}
		s, err := Open(opts)
		if err != nil {
			return fmt.Errorf("it does not open again: %w", err)
		}
		for name, times := range visits(t, s) {
			if times != "x" {
				err = errors.Join(err, fmt.Errorf("%s was visited %d times", name, len(times)))
			}
		}
		copies, _ := filepath.Glob(filepath.Join(dir, copyName(table.Format)+"*"))
		if len(copies) == 0 || slices.ContainsFunc(copies, func(n string) bool { return strings.HasSuffix(n, ".part") }) {
			err = errors.Join(err, fmt.Errorf("copies %v", copies))
		}
		return errors.Join(err, checkPages(s), s.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}
