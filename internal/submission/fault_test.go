package submission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// faulty is a provider whose every answer may be lost, before or after it did
// what was asked, or be the last thing that the gateway hears in this life.
type faulty struct {
	*memory.Provider
	mu     sync.Mutex
	random *rand.Rand
	// sent counts by operation how often a message was really sent.
	sent   map[string]int
	counts map[string]int
	kill   func(operation string)
}

// fate is what becomes of one call.
type fate int

const (
	fine fate = iota
	refused
	throttled
	lost
	killed
)

func (f *faulty) draw(verb string) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := fine
	switch n := f.random.Intn(100); {
	case n < 10:
		out = refused
	case n < 20:
		out = throttled
	case n < 45:
		out = lost
	case n < 60:
		out = killed
	}
	f.counts[fmt.Sprintf("%s %d", verb, out)]++
	return out
}

// call makes a call with the fate that it draws.
func (f *faulty) call(ctx context.Context, verb, operation string, do func() error) error {
	what := f.draw(verb)
	switch what {
	case refused:
		return mail.Errorf(mail.KindUnavailable, verb, "503")
	case throttled:
		return &mail.Error{Kind: mail.KindThrottled, Op: verb, RetryAfter: time.Second}
	}
	if err := do(); err != nil {
		return err
	}
	switch what {
	case lost:
		if verb == "prepare" || verb == "probe" {
			return mail.Errorf(mail.KindUnavailable, verb, "the connection was cut")
		}
		return mail.Errorf(mail.KindOutcomeUnknown, verb, "the connection was cut")
	case killed:
		f.kill(operation)
		return ctx.Err()
	}
	return nil
}

func (f *faulty) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (resp *provider.PrepareResponse, err error) {
	err = f.call(ctx, "prepare", req.OperationID, func() error {
		resp, err = f.Provider.Prepare(ctx, req, raw)
		return err
	})
	return resp, err
}

// Send counts, for the provider in memory would not send a draft twice.
func (f *faulty) Send(ctx context.Context, req *provider.SendRequest) (resp *provider.SendResponse, err error) {
	err = f.call(ctx, "send", req.OperationID, func() error {
		if resp, err = f.Provider.Send(ctx, req); err == nil {
			f.mu.Lock()
			f.sent[req.OperationID]++
			f.mu.Unlock()
		}
		return err
	})
	return resp, err
}

func (f *faulty) Probe(ctx context.Context, req *provider.ProbeRequest) (resp *provider.ProbeResponse, err error) {
	err = f.call(ctx, "probe", req.OperationID, func() error {
		resp, err = f.Provider.Probe(ctx, req)
		return err
	})
	return resp, err
}

// TestExactlyOnceUnderFaults sends 300 messages, new ones, answers and some of
// 5 MB, while most answers are lost in one way or another and the gateway is
// killed after any step. Each is in its recipient's mailbox once.
func TestExactlyOnceUnderFaults(t *testing.T) {
	const count = 300
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	w := newWorld(t)
	f := &faulty{Provider: w.plugin, random: rand.New(rand.NewSource(seed)), sent: map[string]int{}, counts: map[string]int{}}
	var mu sync.Mutex
	lives := map[string]context.CancelFunc{}
	f.kill = func(operation string) {
		mu.Lock()
		defer mu.Unlock()
		lives[operation]()
	}
	restart := func() {
		w.svc = w.service()
		w.svc.providers, w.svc.opts.GiveUp = through{w, f}, 1000*time.Hour
	}
	restart()
	w.raw["m1"] = []byte("From: bob@example.com\r\nSubject: parent\r\nMessage-ID: <parent@example.org>\r\n\r\nparent\r\n")
	big := bytes.Repeat([]byte("0123456789abcde\n"), 5<<20/16)
	ids := map[string]bool{}
	for n := range count {
		in := Input{Message: Message{Subject: fmt.Sprintf("number %03d", n), Text: "x"}, IdempotencyKey: fmt.Sprint(n)}
		switch {
		case n%100 == 50:
			in.Attachments = []Attachment{{Name: "big.bin", Content: append(fmt.Appendf(nil, "%d\n", n), big...)}}
		case n%3 == 0:
			in.InReplyTo = "m1"
		}
		ids[w.submit(in).ID] = true
	}
	for round := 0; ; round++ {
		if round == 400 {
			t.Fatal("not all are done after 400 rounds")
		}
		w.pass(time.Hour) // all are due
		var due []*store.Submission
		w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
			due, err = tx.DueSubmissions(w.clock(), count)
			return err
		}))
		if len(due) == 0 {
			break
		}
		var wg sync.WaitGroup
		for _, sub := range due[:min(len(due), 64)] {
			ctx, cancel := context.WithCancel(w.ctx)
			mu.Lock()
			lives[sub.ID] = cancel
			mu.Unlock()
			wg.Go(func() {
				defer cancel()
				w.svc.work(ctx, sub)
			})
		}
		wg.Wait()
		if round%5 == 4 {
			restart()
		}
	}
	var errs []error
	for id := range ids {
		if s := w.submission(id); s.State != store.SubmissionSent || f.sent[id] != 1 {
			errs = append(errs, fmt.Errorf("%s is %s (%s) and was sent %d times", id, s.State, s.Error, f.sent[id]))
		}
	}
	subjects := map[string]int{}
	inbox, err := w.cloud.Messages(bob)
	w.must(err)
	for _, m := range inbox {
		subjects[m.Subject]++
	}
	for n := range count {
		if s := fmt.Sprintf("number %03d", n); subjects[s] != 1 {
			errs = append(errs, fmt.Errorf("%q arrived %d times", s, subjects[s]))
		}
	}
	left, err := w.cloud.Messages(ann)
	w.must(err)
	if len(left) != count || len(inbox) != count {
		errs = append(errs, fmt.Errorf("%d messages at the sender, %d at the recipient", len(left), len(inbox)))
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("%s", err.Error()[:min(len(err.Error()), 2000)])
	}
	for _, verb := range []string{"prepare", "send", "probe"} {
		for _, what := range []fate{refused, throttled, lost, killed} {
			if n := f.counts[fmt.Sprintf("%s %d", verb, what)]; n < 10 {
				t.Errorf("%s met fate %d only %d times", verb, what, n)
			}
		}
	}
	if events := w.events(); strings.Count(fmt.Sprint(events), "submission.sent") != count || len(events) != count {
		t.Errorf("%d events", len(events))
	}
}
