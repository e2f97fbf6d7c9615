package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// The crash test runs this test binary again as a gateway's outbox that can be
// killed.
const (
	childFolder = "WEBHOOK_CRASH_FOLDER"
	childURL    = "WEBHOOK_CRASH_URL"
	childDrain  = "WEBHOOK_CRASH_DRAIN"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		if err := child(folder, os.Getenv(childURL), os.Getenv(childDrain) != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child journals events and prints the id of each that is durable, until it is
// killed; or, to drain, delivers what is owed and ends.
func child(folder, url string, drain bool) (err error) {
	s := openStore(bare{}, folder, testMaster, nil)
	defer func() { err = errors.Join(err, s.Close()) }()
	guard, err := NewGuard(Rules{Allow: []string{"127.0.0.1"}, AllowHTTP: true})
	if err != nil {
		return err
	}
	ob := outbox.New(s, NewCarrier(guard, CarrierOptions{}), outbox.Options{Policy: fastPolicy()})
	service := New(s, ob, guard, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- ob.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-ran) }()

	if list, err := service.ListEndpoints(ctx); err != nil {
		return err
	} else if len(list) == 0 {
		if _, _, err := service.CreateEndpoint(ctx, Create{URL: url}); err != nil {
			return err
		}
	}
	if drain {
		for {
			var stats store.OutboxStats
			if err := s.View(ctx, func(tx store.Tx) (err error) { stats, err = tx.OutboxStats(); return err }); err != nil {
				return err
			}
			if stats.Pending == 0 {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	var out sync.Mutex
	var producers sync.WaitGroup
	failed := make(chan error, 4)
	for a := range 4 {
		producers.Go(func() {
			for {
				e := updated(fmt.Sprintf("a%d", a))
				e.Time = time.Now()
				err := s.Update(ctx, func(tx store.Tx) error {
					if err := tx.AppendEvent(&e); err != nil {
						return err
					}
					return service.Owe(tx, []event.Event{e})
				})
				if err != nil {
					failed <- err
					return
				}
				out.Lock()
				fmt.Println(e.ID)
				out.Unlock()
			}
		})
	}
	producers.Wait()
	return <-failed
}

// bare is a testing.TB for a process that runs no test.
type bare struct{ testing.TB }

func (bare) Helper()           {}
func (bare) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestKilledAtAnyMomentLosesNothing(t *testing.T) {
	const kills = 12
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sink := receive(t, func(_ int, w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusNoContent) })
	folder := t.TempDir()
	command := func(extra ...string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(append(os.Environ(), childFolder+"="+folder, childURL+"="+sink.URL), extra...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	acknowledged := map[string]bool{}
	for range kills {
		cmd := command()
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		if !lines.Scan() { // it lives
			t.Fatalf("the child said nothing: %v", cmd.Wait())
		}
		acknowledged[lines.Text()] = true
		timer := time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			if _, _, whole := event.ParseID(lines.Text()); whole { // the last line may be cut
				acknowledged[lines.Text()] = true
			}
		}
		timer.Stop()
		_ = cmd.Wait() // killed: an error is what we want
	}
	if err := command(childDrain + "=1").Run(); err != nil {
		t.Fatalf("drain: %v", err)
	}

	sink.mu.Lock()
	defer sink.mu.Unlock()
	bodies := map[string][]byte{}
	last := map[string]uint64{}
	duplicates := 0
	for _, r := range sink.got {
		id := r.header.Get("webhook-id")
		if before, seen := bodies[id]; seen {
			duplicates++
			if !bytes.Equal(before, r.body) {
				t.Errorf("%s was sent with two bodies", id)
			}
			continue
		}
		bodies[id] = r.body
		var body struct {
			Account  struct{ ID string }
			Sequence uint64
		}
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatal(err)
		}
		if body.Sequence != last[body.Account.ID]+1 {
			t.Errorf("account %s: %d came first after %d", body.Account.ID, body.Sequence, last[body.Account.ID])
		}
		last[body.Account.ID] = body.Sequence
	}
	lost := 0
	for id := range acknowledged {
		if bodies[id] == nil {
			lost++
		}
	}
	t.Logf("%d kills, %d events acknowledged, %d received, %d duplicates", kills, len(acknowledged), len(bodies), duplicates)
	if lost > 0 || len(acknowledged) < kills {
		t.Errorf("%d of %d acknowledged events were lost", lost, len(acknowledged))
	}
	if most := kills * 4 * 257; duplicates > most {
		t.Errorf("%d duplicates, more than the %d that can be undurable", duplicates, most)
	}
}
