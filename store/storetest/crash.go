package storetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

const (
	// crashEnv tells a child process where its store is.
	crashEnv     = "POSTERN_STORETEST_CRASH_DIR"
	crashRounds  = 10
	crashWriters = 8
)

// RunCrash kills a process that writes, again and again, and checks each time
// that what it was told is durable is there, and that nothing is there in
// part. It runs the test binary once more, with the test that called it.
func RunCrash(t *testing.T, b Backend) {
	if dir := os.Getenv(crashEnv); dir != "" {
		crashChild(t, b, dir)
		return
	}
	c := &crash{t: t, backend: b, dir: t.TempDir(), acked: map[int]int{}}
	c.setUp()
	for round := range crashRounds {
		c.kill(20 + rand.IntN(300))
		c.check(round)
	}
	total := 0
	for _, n := range c.acked {
		total += n
	}
	t.Logf("%d kills, %d acknowledged updates, %d blobs, none lost", crashRounds, total, len(c.blobs))
}

// crash is the parent's knowledge.
type crash struct {
	t       *testing.T
	backend Backend
	dir     string
	// acked is the newest number that each writer was told is durable.
	acked map[int]int
	blobs []string
}

func writerAccount(n int) string { return fmt.Sprintf("a%d", n) }

func (c *crash) open() store.Store {
	c.t.Helper()
	s, err := c.backend.Open(c.dir, time.Now)
	if err != nil {
		c.t.Fatalf("open after a kill: %v", err)
	}
	return s
}

func (c *crash) setUp() {
	s := c.open()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.PutEndpoint(&store.Endpoint{ID: "e1", Ordered: true}); err != nil {
			return err
		}
		for n := range crashWriters {
			acct := writerAccount(n)
			if err := tx.PutAccount(account(acct)); err != nil {
				return err
			}
			if err := tx.PutMailbox(mailbox("f-"+acct, acct)); err != nil {
				return err
			}
			if _, err := tx.GiveUIDs("f-"+acct, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// kill starts a child and kills it after so many acknowledgements.
func (c *crash) kill(after int) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+c.t.Name()+"$", "-test.count=1", "-test.v=false")
	cmd.Env = append(os.Environ(), crashEnv+"="+c.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // its end tells the child that we are gone
	if err != nil {
		c.t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	seen := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var writer, number int
		var digest string
		switch line := lines.Text(); {
		case scan(line, "ack %d %d", &writer, &number):
			c.acked[writer] = max(c.acked[writer], number)
		case scan(line, "blob %d %s", &writer, &digest):
			c.blobs = append(c.blobs, fmt.Sprintf("%d %s", writer, digest))
		default:
			c.t.Errorf("child says: %s", line)
			continue
		}
		if seen++; seen == after {
			if err := cmd.Process.Kill(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	_ = in.Close()
	if seen < after {
		c.t.Fatalf("the child ended by itself after %d of %d: %s", seen, after, stderr.String())
	}
}

func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}

// check opens the store and looks for what was acknowledged.
func (c *crash) check(round int) {
	c.t.Helper()
	s := c.open()
	defer func() {
		if err := s.Close(); err != nil {
			c.t.Errorf("close: %v", err)
		}
	}()
	ctx := context.Background()
	err := s.View(ctx, func(tx store.Tx) error {
		events := uint64(0)
		for n := range crashWriters {
			last, err := readInt(tx, writerAccount(n))
			if err != nil {
				return err
			}
			// One more than was acknowledged may have been on its way.
			if last < c.acked[n] || last > c.acked[n]+1 {
				c.t.Errorf("round %d, writer %d: %d is there, %d was acknowledged", round, n, last, c.acked[n])
			}
			c.acked[n] = last
			if err := whole(tx, writerAccount(n), last); err != nil {
				c.t.Errorf("round %d, writer %d: %v", round, n, err)
			}
			events += uint64(last)
		}
		oldest, newest, err := tx.JournalBounds()
		if err == nil && (newest != events || oldest != 1) {
			c.t.Errorf("round %d: journal from %d to %d, %d updates", round, oldest, newest, events)
		}
		return err
	})
	if err != nil {
		c.t.Errorf("round %d: %v", round, err)
	}
	for _, line := range c.blobs {
		acct, sum, _ := strings.Cut(line, " ")
		b, err := s.Blobs().Open(ctx, "a"+acct, sum)
		if err != nil {
			c.t.Errorf("round %d, blob %s: %v", round, line, err)
			continue
		}
		got, err := io.ReadAll(b)
		if err != nil || digest(got) != sum {
			c.t.Errorf("round %d, blob %s: %d bytes, %v", round, line, len(got), err)
		}
		_ = b.Close()
	}
}

// whole checks that updates 1 to last of a writer are there in every part, and
// nothing of a later one is.
func whole(tx store.Tx, acct string, last int) error {
	mb, err := tx.Mailbox("f-" + acct)
	if err != nil {
		return err
	}
	count, err := tx.CountMessages(acct)
	if err != nil {
		return err
	}
	seq, err := tx.LastSequence(acct)
	if err != nil {
		return err
	}
	rows, err := tx.UIDs("f-"+acct, 1, 1<<31, last+10)
	if err != nil {
		return err
	}
	lane, err := tx.Head("e1", acct, last+10)
	if err != nil {
		return err
	}
	events, err := tx.AccountEventsAfter(acct, 0, last+10)
	if err != nil {
		return err
	}
	if int(mb.Total) != last || int(count) != last || int(seq) != last || len(rows) != last || len(lane) != last || len(events) != last {
		return fmt.Errorf("of %d updates: %d in the mailbox, %d messages, sequence %d, %d UIDs, %d deliveries, %d events",
			last, mb.Total, count, seq, len(rows), len(lane), len(events))
	}
	for i := range last {
		id := fmt.Sprintf("m-%s-%d", acct, i+1)
		if rows[i].Message != id || events[i].Message != id || lane[i].Event != events[i].ID {
			return fmt.Errorf("update %d: %s, %s, %s", i+1, rows[i].Message, events[i].Message, lane[i].Event)
		}
		if _, err := tx.Message(id); err != nil {
			return fmt.Errorf("message %s: %w", id, err)
		}
		if rows[i].Size != int64(i+1) {
			return fmt.Errorf("update %d: the UID row tells size %d", i+1, rows[i].Size)
		}
		for _, kind := range store.MessageDerived() {
			if v, err := tx.Derived(acct, kind, id); err != nil || string(v) != fmt.Sprintf("%d of %s", kind, id) {
				return fmt.Errorf("message %s: derived value %d is %q, %w", id, kind, v, err)
			}
		}
		if _, err := tx.Body(&store.Delivery{Position: events[i].Position, Event: events[i].ID, Rendition: "thin"}); err != nil {
			return fmt.Errorf("body %d: %w", i+1, err)
		}
	}
	_, err = tx.Message(fmt.Sprintf("m-%s-%d", acct, last+1))
	if !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("a message too many: %w", err)
	}
	return nil
}

// crashChild writes until it is killed.
func crashChild(t *testing.T, b Backend, dir string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the parent is gone
	}()
	s, err := b.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	for n, err := range each(crashWriters, func(n int) error {
		for {
			number, err := crashUpdate(s, n)
			if err != nil {
				return err
			}
			say("ack %d %d", n, number)
			if number%10 == n {
				body := fmt.Appendf(nil, "blob %d of %d %s", number, n, strings.Repeat("x", number%3*40_000))
				ref, err := s.Blobs().Put(context.Background(), writerAccount(n), bytes.NewReader(body), true)
				if err != nil {
					return err
				}
				say("blob %d %s", n, ref.Digest)
			}
		}
	}) {
		t.Errorf("writer %d: %v", n, err)
	}
}

// crashUpdate writes one of everything in one transaction.
func crashUpdate(s store.Store, n int) (number int, err error) {
	acct := writerAccount(n)
	update := s.Update
	if n%3 == 2 {
		update = s.UpdateSoon
	}
	err = update(context.Background(), func(tx store.Tx) error {
		before, err := readInt(tx, acct)
		if err != nil {
			return err
		}
		number = before + 1
		m := message(fmt.Sprintf("m-%s-%d", acct, number), acct, Start.Add(time.Duration(number)*time.Second), "f-"+acct)
		e := &event.Event{Type: event.MessageCreated, Account: acct, Message: m.ID, Time: Start}
		if err := tx.AppendEvent(e); err != nil {
			return err
		}
		m.ModSeq, m.Size = e.Sequence, int64(number)
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		if err := derived(tx, acct, m.ID); err != nil {
			return err
		}
		d := &store.Delivery{
			ID: event.HashID("d", e.ID), Endpoint: "e1", Lane: acct, Account: acct, Event: e.ID, Rendition: "thin",
			Position: e.Position, Sequence: e.Sequence, CreatedAt: Start, NextAt: Start,
		}
		if err := tx.PutBody(d, []byte("body")); err != nil {
			return err
		}
		if err := tx.Enqueue(d); err != nil {
			return err
		}
		return addTo(tx, acct, 1)
	})
	return number, err
}
