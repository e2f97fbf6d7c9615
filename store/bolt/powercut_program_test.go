package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// What the producer is told by its environment.
const (
	cutDir  = "POSTERN_POWERCUT_DIR"
	cutKey  = "POSTERN_POWERCUT_KEY"
	cutSeed = "POSTERN_POWERCUT_SEED"
	// cutMode is empty, or a way to do it wrong (a test of the test), or
	// "open": open and close, and nothing else.
	cutMode = "POSTERN_POWERCUT_MODE"
)

const (
	modeOpen       = "open"
	modeMigrate    = "migrate"
	modeNoSync     = "nosync"
	modeLooseBlobs = "looseblobs"
)

// cutAccounts are the accounts that the producer writes for.
var cutAccounts = []string{"a1", "a2", "a3"}

// producer is a gateway in small: it does what must survive, and says so.
type producer struct {
	s    *Store
	run  uint64
	mode string
	mu   sync.Mutex
	errs []error
}

// TestPowerCutProducer is not a test: it is the program whose power is cut.
func TestPowerCutProducer(t *testing.T) {
	dir := os.Getenv(cutDir)
	if dir == "" {
		return
	}
	if err := produce(dir, os.Getenv(cutMode)); err != nil {
		t.Fatal(err)
	}
}

func produce(dir, mode string) error {
	key, err := seal.ParseMasterKey(os.Getenv(cutKey))
	if err != nil {
		return err
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		return err
	}
	run, err := strconv.ParseUint(os.Getenv(cutSeed), 10, 64)
	if err != nil {
		return err
	}
	opts := Options{Path: dir, Keyring: ring, Log: slog.New(slog.DiscardHandler)}
	if mode == modeMigrate {
		opts.layout = invented()
	}
	s, err := Open(opts)
	if err != nil {
		return err
	}
	ack("open", s.Epoch())
	p := &producer{s: s, run: run, mode: mode}
	if mode != modeOpen && mode != modeMigrate {
		s.db.NoSync = mode == modeNoSync
		err = p.work()
	}
	return errors.Join(err, s.Close())
}

// ack says that something is done, in one write of one line.
func ack(what ...any) { _, _ = os.Stdout.WriteString("ack " + fmt.Sprintln(what...)) }

// acked gives what was said, without what the test's frame says.
func acked(lines []string, kind string) (out [][]string) {
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "ack "+kind+" "); ok {
			out = append(out, strings.Fields(rest))
		}
	}
	return out
}

func (p *producer) work() error {
	ctx := context.Background()
	err := p.s.Update(ctx, func(tx store.Tx) error {
		for _, a := range cutAccounts {
			if err := tx.PutAccount(&store.Account{ID: a, Address: a + "@example.com"}); err != nil {
				return err
			}
			if err := tx.PutMailbox(&store.Mailbox{ID: "f-" + a, Account: a}); err != nil {
				return err
			}
		}
		return tx.PutEndpoint(&store.Endpoint{ID: "e1", Ordered: true})
	})
	if err != nil {
		return err
	}
	owed := make(chan *store.Delivery, 1000)
	var writers, all sync.WaitGroup
	work := func(wg *sync.WaitGroup, n int, do func(r *rand.Rand, i int) error) {
		r := rand.New(rand.NewPCG(p.run, uint64(n)))
		wg.Go(func() {
			for i := range 25 {
				if err := do(r, i); err != nil {
					p.mu.Lock()
					p.errs = append(p.errs, err)
					p.mu.Unlock()
					return
				}
			}
		})
	}
	for n := range 3 {
		work(&writers, n, func(_ *rand.Rand, i int) error { return p.tell(ctx, cutAccounts[n], n*1000+i, owed) })
	}
	for n := 3; n < 5; n++ {
		work(&all, n, func(r *rand.Rand, i int) error { return p.submit(ctx, r, n*1000+i) })
	}
	work(&all, 5, func(r *rand.Rand, i int) error { return p.cache(ctx, r, i) })
	all.Go(func() {
		for d := range owed {
			d.State, d.Attempts, d.DoneAt = store.DeliveryDelivered, 1, time.Unix(1_800_000_000, 0)
			err := p.s.Update(ctx, func(tx store.Tx) error {
				return errors.Join(tx.Settle(d), tx.PutAttempt(&store.Attempt{Delivery: d.ID, Number: 1, At: d.DoneAt}))
			})
			if err != nil {
				p.mu.Lock()
				p.errs = append(p.errs, fmt.Errorf("settle: %w", err))
				p.mu.Unlock()
				continue
			}
			ack("settled", d.ID)
		}
	})
	writers.Wait()
	close(owed)
	all.Wait()
	return errors.Join(p.errs...)
}

// tell writes a message, its event, and what is owed because of it, in one
// transaction, as a sync round does.
func (p *producer) tell(ctx context.Context, account string, i int, owed chan<- *store.Delivery) error {
	var e event.Event
	var d *store.Delivery
	id := fmt.Sprintf("m-%d-%d", p.run, i)
	err := p.s.Update(ctx, func(tx store.Tx) error {
		e = event.Event{Type: event.MessageCreated, Account: account, Message: id, Mailbox: "f-" + account, Time: time.Unix(1_700_000_000, 0)}
		if err := tx.PutMessage(&store.Message{ID: id, Account: account, In: []string{"f-" + account}, Thread: id, Message: mail.Message{Subject: strings.Repeat(id, 40)}}); err != nil {
			return err
		}
		if err := tx.AppendEvent(&e); err != nil {
			return err
		}
		d = &store.Delivery{
			ID: event.HashID("d", "e1", e.ID, "r"), Endpoint: "e1", Lane: account, Account: account, Event: e.ID, Type: string(e.Type),
			Position: e.Position, Sequence: e.Sequence, Rendition: "r", State: store.DeliveryPending, CreatedAt: e.Time, NextAt: e.Time,
		}
		return errors.Join(tx.PutBody(d, []byte(bodyOf(e.ID))), tx.Enqueue(d))
	})
	if err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	ack("event", account, e.Position, e.ID, d.ID, id)
	if i%2 == 0 {
		owed <- d
	}
	return nil
}

func bodyOf(id string) string { return strings.Repeat("body of "+id+"\n", 20) }

// letter is bytes that do not compress, of a size on both sides of a small
// blob's.
func letter(r *rand.Rand) []byte {
	n := 200 + r.IntN(12<<10)
	if r.IntN(3) == 0 {
		n = 20<<10 + r.IntN(200<<10)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// submit puts bytes that nobody else has, then the record that names them.
func (p *producer) submit(ctx context.Context, r *rand.Rand, i int) error {
	account := cutAccounts[i%len(cutAccounts)]
	ref, err := p.s.Blobs().Put(ctx, account, bytes.NewReader(letter(r)), p.mode != modeLooseBlobs)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	s := &store.Submission{ID: fmt.Sprintf("s-%d-%d", p.run, i), Account: account, State: store.SubmissionScheduled, Blob: ref.Digest, Size: ref.Size, NextAt: time.Unix(1_700_000_000, int64(i))}
	if err := p.s.Update(ctx, func(tx store.Tx) error { return tx.PutSubmission(s) }); err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	ack("submission", s.ID, ref.Digest)
	return nil
}

// cache puts bytes that the provider still has: they may be lost, not changed.
func (p *producer) cache(ctx context.Context, r *rand.Rand, i int) error {
	b := letter(r)
	sum := sha256.Sum256(b)
	account := cutAccounts[i%len(cutAccounts)]
	ack("cached", account, hex.EncodeToString(sum[:]))
	_, err := p.s.Blobs().Put(ctx, account, bytes.NewReader(b), false)
	return err
}

// readBlob reads a blob whole and says whether it is what its name says.
func readBlob(s *Store, account, digest string) error {
	b, err := s.Blobs().Open(context.Background(), account, digest)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, b); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("blob %s holds other bytes", digest)
	}
	return nil
}
