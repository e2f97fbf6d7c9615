package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// counting counts what raw bytes are asked for, and lets gate decide.
type counting struct {
	provider.Provider
	mu    sync.Mutex
	calls []provider.FetchRequest
	// gate, when set, is called before a fetch of raw bytes.
	gate func(ctx context.Context, req *provider.FetchRequest) error
}

func (c *counting) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	if req.Mode == provider.FetchRaw {
		c.mu.Lock()
		c.calls = append(c.calls, *req)
		gate := c.gate
		c.mu.Unlock()
		if gate != nil {
			if err := gate(ctx, req); err != nil {
				return err
			}
		}
	}
	return c.Provider.Fetch(ctx, req, sink)
}

// asked is how often each message's bytes were asked for.
func (c *counting) asked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for _, call := range c.calls {
		for _, id := range call.IDs {
			n[id]++
		}
	}
	return n
}

func (w *world) counting() *counting {
	c := &counting{Provider: w.plugin}
	w.front = func(provider.Provider) provider.Provider { return c }
	return c
}

// derived reads what is derived of a message; empty where there is nothing.
func (w *world) derived(id string) (rows, header, text []byte) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		for kind, to := range map[store.DerivedKind]*[]byte{store.DerivedRows: &rows, store.DerivedHeader: &header, store.DerivedText: &text} {
			b, err := tx.Derived(w.account, kind, id)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			*to = b
		}
		return nil
	}))
	return rows, header, text
}

// TestHydrate: messages get their bytes, exact size, rows, header and text with
// one fetch each, and whoever asks again costs nothing.
func TestHydrate(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		c := w.counting()
		var ids, pids []string
		for i := range 45 {
			pid := w.deliver(fmt.Sprint("Brief ", i), memory.Delivery{})
			pids, ids = append(pids, pid), append(ids, MessageID(w.account, pid))
		}
		w.rounds()
		if _, err := w.svc.Rows(w.ctx, ids[0]); mail.KindOf(err) != mail.KindNotFound {
			t.Fatalf("rows before the bytes: %v", err)
		}
		var told []string
		w.svc.opts.Hydrated = func(m *store.Message) { told = append(told, m.ID) }
		w.must(w.svc.Hydrate(w.ctx, append(ids, "no such message")))
		w.must(w.svc.Hydrate(w.ctx, ids))
		if asked := c.asked(); len(asked) != 45 || len(told) != 45 {
			t.Errorf("%d messages were asked for, %d told", len(asked), len(told))
		}
		for pid, n := range c.asked() {
			if n != 1 {
				t.Errorf("%s was asked for %d times", pid, n)
			}
		}
		if n := len(c.calls); n > 4 {
			t.Errorf("45 messages took %d calls", n)
		}
		for i, pid := range pids {
			raw := w.raw(pid)
			rows, err := w.svc.Rows(w.ctx, ids[i])
			w.must(err)
			m := w.message(pid)
			_, header, text := w.derived(ids[i])
			extract, err := mime.DecodeExtract(text)
			w.must(err)
			if m.Size != int64(len(raw)) || rows.Size != m.Size || rows.Digest != m.Blob || !bytes.HasPrefix(raw, header) || int64(len(header)) != rows.Header {
				t.Errorf("message %d: size %d, rows %d, header %d of %d octets", i, m.Size, rows.Size, len(header), len(raw))
			}
			if !strings.Contains(string(rows.Envelope), fmt.Sprintf("\"Brief %d\"", i)) || !extract.Contains(fmt.Sprintf("this is brief %d.", i), mime.InBody) {
				t.Errorf("message %d: envelope %s, text %q", i, rows.Envelope, extract.Body)
			}
		}
		w.inStep()
	})
}

// TestHydrateOld: what is derived of messages whose bytes came before, or were
// derived in another form, is made of the bytes that are here.
func TestHydrateOld(t *testing.T) {
	w := newWorld(t, memory.Options{})
	c := w.counting()
	old, other := w.deliver("old", memory.Delivery{}), w.deliver("other", memory.Delivery{})
	w.rounds()
	w.raw(old)
	w.raw(other)
	want, _, _ := w.derived(MessageID(w.account, old))
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		for _, kind := range store.MessageDerived() {
			if err := tx.DeleteDerived(w.account, kind, MessageID(w.account, old)); err != nil {
				return err
			}
		}
		return tx.PutDerived(w.account, store.DerivedRows, MessageID(w.account, other), []byte{0, 1, 2})
	}))
	last := w.last()
	w.must(w.svc.Hydrate(w.ctx, []string{MessageID(w.account, old), MessageID(w.account, other)}))
	rows, header, text := w.derived(MessageID(w.account, old))
	if !bytes.Equal(rows, want) || len(header) == 0 || len(text) == 0 {
		t.Errorf("rows %q, header %q, text %q", rows, header, text)
	}
	if r, err := w.svc.Rows(w.ctx, MessageID(w.account, other)); err != nil || r.Size == 0 {
		t.Errorf("rows of another form: %v, %v", r, err)
	}
	if len(c.calls) != 2 || w.last() != last {
		t.Errorf("%d fetches, journal at %d, was %d", len(c.calls), w.last(), last)
	}
}

// TestRowsOutliveBodies: evicted bytes take nothing away of what is derived;
// when they come again and are others, it is of the others, under a new UID.
func TestRowsOutliveBodies(t *testing.T) {
	w := newWorld(t, memory.Options{})
	front := &edits{}
	w.front = func(p provider.Provider) provider.Provider {
		front.Provider = p
		return front
	}
	pid := w.deliver("kept", memory.Delivery{})
	id := MessageID(w.account, pid)
	w.rounds()
	w.must(w.svc.Hydrate(w.ctx, []string{id}))
	before, _, _ := w.derived(id)
	uid := w.uidOf(pid)
	_, err := w.store.Blobs().Trim(w.ctx, 0)
	w.must(err)
	w.must(w.svc.Hydrate(w.ctx, []string{id}))
	if now, header, text := w.derived(id); !bytes.Equal(now, before) || len(header) == 0 || len(text) == 0 || front.fetches != 1 {
		t.Errorf("after the bytes were evicted: rows %q, %d fetches", now, front.fetches)
	}
	kept := 0
	w.svc.opts.Hydrated = func(*store.Message) { kept++ }
	if w.raw(pid); kept != 0 || front.fetches != 2 {
		t.Errorf("the same bytes came again: derived anew %d times, %d fetches", kept, front.fetches)
	}
	_, err = w.store.Blobs().Trim(w.ctx, 0)
	w.must(err)
	front.other = true
	raw := w.raw(pid)
	rows, err := w.svc.Rows(w.ctx, id)
	w.must(err)
	_, header, _ := w.derived(id)
	if rows.Size != int64(len(raw)) || !bytes.HasPrefix(header, []byte("X-Edited")) || w.uidOf(pid) <= uid {
		t.Errorf("of other bytes: size %d of %d, header %q, UID %d, was %d", rows.Size, len(raw), header, w.uidOf(pid), uid)
	}
}

// TestSizeOnceTold: a size that the provider told before its bytes were here is
// not another under the same UID afterwards.
func TestSizeOnceTold(t *testing.T) {
	w := newWorld(t, memory.Options{})
	front := &edits{other: true} // the bytes are longer than the provider says
	w.front = func(p provider.Provider) provider.Provider {
		front.Provider = p
		return front
	}
	pid := w.deliver("guessed", memory.Delivery{})
	w.rounds()
	uid, size := w.uidOf(pid), w.message(pid).Size
	if size == 0 {
		t.Fatal("the provider in memory tells no size")
	}
	raw := w.raw(pid)
	exact := w.uidOf(pid)
	if w.message(pid).Size != int64(len(raw)) || exact <= uid {
		t.Errorf("size %d, was %d; UID %d, was %d", w.message(pid).Size, size, exact, uid)
	}
	// What the provider goes on telling does not count any more.
	w.must(w.cloud.SetKeywords(ann, pid, mail.Flagged))
	w.rounds()
	if m := w.message(pid); m.Size != int64(len(raw)) || w.uidOf(pid) != exact || !m.HasKeyword(mail.Flagged) {
		t.Errorf("then: size %d, was %d; UID %d, was %d; %v", m.Size, len(raw), w.uidOf(pid), exact, m.Keywords)
	}
}

// TestHydrateFails: one message that cannot be read keeps no other back, and who
// leaves does not wait.
func TestHydrateFails(t *testing.T) {
	w := newWorld(t, memory.Options{})
	good, gone := w.deliver("good", memory.Delivery{}), w.deliver("gone", memory.Delivery{})
	w.rounds()
	w.must(w.cloud.Remove(ann, gone))
	err := w.svc.Hydrate(w.ctx, []string{MessageID(w.account, gone), MessageID(w.account, good)})
	if err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
	if _, err := w.svc.Rows(w.ctx, MessageID(w.account, good)); err != nil {
		t.Errorf("the other one has no rows: %v", err)
	}

	c := w.counting()
	failing := w.deliver("failing", memory.Delivery{})
	w.rounds()
	c.gate = func(context.Context, *provider.FetchRequest) error {
		return mail.Errorf(mail.KindThrottled, "fetch", "not now")
	}
	if err := w.svc.Hydrate(w.ctx, []string{MessageID(w.account, failing)}); mail.KindOf(err) != mail.KindThrottled {
		t.Errorf("a provider that refuses: %v", err)
	}

	entered, open := make(chan struct{}), make(chan struct{})
	c.gate = func(context.Context, *provider.FetchRequest) error {
		close(entered)
		<-open
		return nil
	}
	ctx, leave := context.WithCancel(w.ctx)
	got := make(chan error, 1)
	go func() { got <- w.svc.Hydrate(ctx, []string{MessageID(w.account, failing)}) }()
	<-entered
	shared := make(chan error, 1)
	go func() { shared <- w.svc.Hydrate(w.ctx, []string{MessageID(w.account, failing)}) }()
	leave()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever left got %v", err)
	}
	close(open)
	if err := <-shared; err != nil {
		t.Errorf("whoever stayed got %v", err)
	}
}

// running runs the service until the test ends.
func (w *world) running() {
	ctx, stop := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.svc.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// TestFill: all bodies come ahead, newest first, a few at a time and at the
// lowest priority; those that come later, too, without a look at the others.
func TestFill(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		c := w.counting()
		whole := make(chan string, 100)
		w.svc.opts.WantBodies = func(_ context.Context, account string) bool { return account == w.account }
		w.svc.opts.Hydrated = func(m *store.Message) { whole <- m.ID }
		var want []string
		for i := range 50 {
			pid := w.deliver(fmt.Sprint("letter ", i), memory.Delivery{Date: time.Now().Add(-time.Duration(i+1) * time.Hour)})
			want = append(want, pid)
		}
		w.running()
		for range want {
			<-whole
		}
		var got []string
		for _, call := range c.calls {
			if call.Priority != provider.Backfill || len(call.IDs) > maxBodyBatch {
				t.Errorf("a call for %d messages at priority %v", len(call.IDs), call.Priority)
			}
			got = append(got, call.IDs...)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("brought\n%q\nin the order of time\n%q", got, want)
		}
		later := w.deliver("later", memory.Delivery{})
		w.svc.Touch(w.ctx, w.account)
		if id := <-whole; id != MessageID(w.account, later) {
			t.Errorf("%s came", id)
		}
		if n := len(c.asked()); n != 51 {
			t.Errorf("%d messages were asked for", n)
		}
	})
}

// TestFillRests: what is brought ahead waits while somebody waits for a message
// of the account, and while nothing may be pulled.
func TestFillRests(t *testing.T) {
	w := newWorld(t, memory.Options{})
	c := w.counting()
	read := w.deliver("read", memory.Delivery{})
	for i := range 30 {
		w.deliver(fmt.Sprint("letter ", i), memory.Delivery{})
	}
	w.rounds()
	w.raw(read)
	c.calls = nil
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	x := &filling{account: w.account}
	w.svc.opts.Hold = func() error { return errors.New("no room") }
	if after, more := w.svc.fillSome(w.ctx, x); more || after != 0 || len(c.calls) != 0 {
		t.Errorf("without room: %v, %v, %d calls", after, more, len(c.calls))
	}
	w.svc.opts.Hold = nil
	leave := w.svc.landings.await(w.account)
	if after, more := w.svc.fillSome(w.ctx, x); !more || after != fillYield || len(c.calls) != 0 {
		t.Errorf("while somebody waits: %v, %v, %d calls", after, more, len(c.calls))
	}
	leave()
	if after, more := w.svc.fillSome(w.ctx, x); !more || after != 0 || len(c.calls) != 1 || len(x.todo) != 30-maxBodyBatch {
		t.Errorf("then: %v, %v, %d calls, %d left", after, more, len(c.calls), len(x.todo))
	}
	c.gate = func(context.Context, *provider.FetchRequest) error {
		return &mail.Error{Kind: mail.KindThrottled, Op: "fetch", Message: "not now", RetryAfter: time.Hour}
	}
	if after, more := w.svc.fillSome(w.ctx, x); !more || after != time.Hour || len(x.todo) != 30-maxBodyBatch {
		t.Errorf("throttled: %v, %v, %d left", after, more, len(x.todo))
	}
	c.gate = nil
	for more := true; more; _, more = w.svc.fillSome(w.ctx, x) {
	}
	if n := len(c.asked()); n != 30 || len(x.todo) != 0 {
		t.Errorf("at the end: %d asked for, %d left", n, len(x.todo))
	}
	w.svc.opts.WantBodies = nil
	w.deliver("another", memory.Delivery{})
	w.rounds()
	if _, more := w.svc.fillSome(w.ctx, x); more || len(c.asked()) != 30 {
		t.Error("an account that nobody reads is filled")
	}
}

// TestFillFailed: a message that cannot be brought is passed over and tried
// again later.
func TestFillFailed(t *testing.T) {
	w := newWorld(t, memory.Options{})
	c := w.counting()
	now := time.Now()
	clock := func() time.Time { return now }
	bad := w.deliver("bad", memory.Delivery{})
	w.deliver("good", memory.Delivery{})
	w.rounds()
	w.svc.opts.Now = clock
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	x := &filling{account: w.account}
	w.front = func(provider.Provider) provider.Provider { return refusing{c, bad} }
	w.svc.fillSome(w.ctx, x)
	after, more := w.svc.fillSome(w.ctx, x)
	if !more || after != fillAgain || len(x.failed) != 1 || len(x.todo) != 0 {
		t.Fatalf("after the failure: %v, %v, %+v", after, more, x)
	}
	w.front = nil
	now = now.Add(fillAgain)
	w.svc.fillSome(w.ctx, x)
	if _, more := w.svc.fillSome(w.ctx, x); more || w.message(bad).Blob == "" {
		t.Errorf("the second try: %v, %+v", more, x)
	}
}

// refusing gives no bytes of one message.
type refusing struct {
	provider.Provider
	id string
}

func (r refusing) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	for _, id := range req.IDs {
		if id == r.id {
			if err := sink.Failed(id, mail.Errorf(mail.KindForbidden, "fetch", "not this one")); err != nil {
				return err
			}
			continue
		}
		one := *req
		one.IDs = []string{id}
		if err := r.Provider.Fetch(ctx, &one, sink); err != nil {
			return err
		}
	}
	return nil
}

// TestFillForgets: of an account that is gone nothing is left.
func TestFillForgets(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	for i := range 2 * maxBodyBatch {
		w.deliver(fmt.Sprint("letter ", i), memory.Delivery{})
	}
	w.rounds()
	turn := func() *filling {
		x, _ := w.svc.fill.take()
		if x == nil {
			t.Fatal("the account is not due")
		}
		after, more := w.svc.fillSome(w.ctx, x)
		w.svc.fill.done(x, after, more)
		return x
	}
	if x := turn(); len(x.todo) != maxBodyBatch || x.gauged != maxBodyBatch {
		t.Fatalf("%d left, %d counted", len(x.todo), x.gauged)
	}
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error { return tx.DeleteAccount(w.account) }))
	w.svc.Forget(w.account)
	if x := turn(); x.gauged != 0 || len(w.svc.fill.of) != 0 {
		t.Errorf("%d counted, %d accounts", x.gauged, len(w.svc.fill.of))
	}
}
