package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/plainmail"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// indexed wires the text index in as the gateway does; fresh messages may wait
// for it.
func (w *world) indexed(fresh int) *textindex.Index {
	index := textindex.New(w.store, textindex.Options{FreshLimit: fresh})
	w.svc.opts.Text = index
	w.svc.opts.PutExtract = func(tx store.Tx, account, message string, extract []byte) error {
		if extract == nil {
			return textindex.Drop(tx, account, message)
		}
		return textindex.Put(tx, account, message, extract)
	}
	return index
}

// told counts how often an index is told of what has come.
type told struct {
	TextSearcher
	n int
}

func (t *told) Touch(account string) { t.n++ }

// TestIndexIsToldOnceAllIsHere: searches follow when the last body of an account has
// come; what comes one by one later does not wake the index each time.
func TestIndexIsToldOnceAllIsHere(t *testing.T) {
	w := newWorld(t, memory.Options{})
	to := &told{TextSearcher: w.indexed(1)}
	w.svc.opts.Text = to
	for i := range 3 {
		w.deliver(fmt.Sprint("a", i), memory.Delivery{})
	}
	w.rounds()
	if x := w.filled(); to.n != 1 || !x.whole.Load() {
		t.Errorf("told %d times when all was here (%v)", to.n, x.whole.Load())
	}
	w.deliver("later", memory.Delivery{})
	w.rounds()
	if w.filled(); to.n != 1 {
		t.Errorf("told %d times, one for a single message", to.n)
	}
}

// filled brings all bodies ahead.
func (w *world) filled() *filling {
	w.t.Helper()
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	w.svc.fill.touch(w.account)
	x, _ := w.svc.fill.take()
	if x == nil {
		w.t.Fatal("the account is not to be filled")
	}
	for more := true; more; _, more = w.svc.fillSome(w.ctx, x) {
	}
	w.svc.fill.done(x, 0, false)
	return x
}

// fold runs the index until fewer than fresh messages wait for it.
func (w *world) fold(index *textindex.Index, fresh int) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	ran := make(chan error, 1)
	go func() { ran <- index.Run(ctx) }()
	index.Touch(w.account)
	w.eventually(func(tx store.Tx) bool {
		rows, err := tx.DerivedAfter(w.account, store.DerivedGrams, "", fresh)
		w.must(err)
		return len(rows) < fresh
	})
	stop()
	w.must(<-ran)
}

// searches counts how often the provider was asked.
func (w *world) searches() *int {
	n := new(int)
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "search" {
			*n++
		}
		return nil
	})
	return n
}

// search gives all pages of a search, by provider ids where it knows them.
func (w *world) search(query string, first int) []string {
	w.t.Helper()
	var all []string
	for after := ""; ; {
		ids, next, err := w.svc.Search(w.ctx, w.account, query, first, after)
		if err != nil || len(ids) > first {
			w.t.Fatalf("search %q: %d of %d, %v", query, len(ids), first, err)
		}
		all = append(all, ids...)
		if after = next; after == "" {
			return all
		}
	}
}

// TestSearchMirrorEqualsScan: where all text is here, a search gives what a scan
// of the mail gives, as another decoder reads it: in thirteen charsets, words,
// pieces of them and several at once, the newest first, in pages of any size;
// with an index and, for what came of late, without.
func TestSearchMirrorEqualsScan(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder, PageSize: 200})
	index := w.indexed(256)
	asked := w.searches()
	texts := map[string]string{}
	deliver := func(n int) {
		for i := range n {
			raw, err := plainmail.Compose(r, len(texts))
			w.must(err)
			text, err := plainmail.Text(raw)
			w.must(err)
			date := time.Now().Add(-time.Duration(r.IntN(1000)) * time.Minute) // some of them the same
			pid := w.deliver(fmt.Sprint(i), memory.Delivery{Raw: raw, Date: date, Quiet: true})
			texts[MessageID(w.account, pid)] = plainmail.Fold(text)
		}
		w.rounds()
	}
	deliver(600) // more than the first stretch
	w.filled()
	w.fold(index, 256)
	deliver(20)
	w.filled()

	var order []string
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		keys, err := tx.MessagesOf(w.account, store.DateKey{}, 1000)
		for i, k := range keys {
			if order = append(order, k.ID); i > 0 && k.At.After(keys[i-1].At) {
				t.Errorf("the %d. message is newer than the one before", i)
			}
		}
		return err
	}))
	words := plainmail.Words(r, texts, 150)
	hits := 0
	for i, query := range words {
		if i%3 == 0 {
			query += " \t" + words[r.IntN(len(words))]
		}
		var want []string
		for _, id := range order {
			if !slices.ContainsFunc(strings.Fields(query), func(w string) bool { return !strings.Contains(texts[id], plainmail.Fold(w)) }) {
				want = append(want, id)
			}
		}
		w.svc.looked = []int{maxLooked, stretch}[i%2]
		if d := cmp.Diff(want, w.search(query, 1+r.IntN(500))); d != "" {
			t.Errorf("search %q (-scan +search):\n%s", query, d)
		}
		hits += len(want)
	}
	w.svc.looked = stretch
	if ids, next, err := w.svc.Search(w.ctx, w.account, "notanyword", 500, ""); err != nil || len(ids) > 0 || next == "" {
		t.Errorf("a page that looked at as many as it may: %v, %q, %v", ids, next, err)
	}
	if hits < 150 {
		t.Errorf("150 queries had %d hits only", hits)
	}
	if *asked != 0 {
		t.Errorf("the provider was asked %d times", *asked)
	}
}

// TestSearchAsksWhoKnows: the provider is asked until all bytes are here, and
// again when many are missing; what was begun here, or there, goes on there.
func TestSearchAsksWhoKnows(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.indexed(256)
	asked := w.searches()
	expect := func(when string, n int) {
		t.Helper()
		got := w.search("letter", 500)
		if *asked != n {
			t.Fatalf("%s the provider was asked %d times, not %d", when, *asked, n)
		}
		if len(got) == 0 {
			t.Fatalf("%s nothing was found", when)
		}
		*asked = 0
	}
	for i := range 6 {
		w.deliver(fmt.Sprint("letter ", i), memory.Delivery{Quiet: true})
	}
	w.rounds()
	expect("before bytes are wanted", 1)
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	expect("before bytes are here", 1)
	_, theirs, err := w.svc.Search(w.ctx, w.account, "letter", 4, "")
	w.must(err)
	*asked = 0
	w.filled()
	expect("when all bytes are here", 0)
	ours, place, err := w.svc.Search(w.ctx, w.account, "letter", 4, "")
	w.must(err)
	if rest, next, err := w.svc.Search(w.ctx, w.account, "letter", 4, theirs); err != nil || *asked != 1 || len(rest) != 2 || next != "" {
		t.Errorf("the provider's second page: %v, %q, %v", rest, next, err)
	}
	*asked = 0

	for i := range fillLag {
		w.deliver(fmt.Sprint("letter of late ", i), memory.Delivery{Quiet: true, Date: time.Now().Add(time.Minute)})
	}
	w.rounds()
	x := w.svc.fill.of[w.account]
	x.touched = false
	w.cloud.FailNext("fetch", mail.KindUnavailable)
	w.svc.fillSome(w.ctx, x)
	expect("while a few are missing", 0)
	w.deliver("one letter more", memory.Delivery{Quiet: true, Date: time.Now().Add(time.Minute)})
	w.rounds()
	w.cloud.FailNext("fetch", mail.KindUnavailable)
	w.svc.fillSome(w.ctx, x)
	expect("while many are missing", 1)
	if rest, next, err := w.svc.Search(w.ctx, w.account, "letter", 4, place); err != nil || *asked != 0 || len(rest) != 2 || next != "" || slices.Contains(ours, rest[0]) {
		t.Errorf("our second page: %v, %q, %v", rest, next, err)
	}
	w.filled()
	expect("when all are here again", 0)
	w.svc.opts.WantBodies = nil
	expect("when nobody wants bytes", 1)
	w.svc.fillSome(w.ctx, x)
	w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
	expect("when they were not wanted for a while", 1)

	// What is here answers while the provider does not.
	w.filled()
	w.front = func(provider.Provider) provider.Provider { return nil }
	expect("when the provider is away", 0)
}

// TestSearchWithoutText: a message whose text is not here is found by what the
// provider told of it, each word by itself and by the same rule.
func TestSearchWithoutText(t *testing.T) {
	w := newWorld(t, memory.Options{Without: []provider.Capability{provider.CapSearch}})
	index := w.indexed(1)
	raw := func(subject, body string) memory.Delivery {
		return memory.Delivery{Date: time.Unix(1772355600+int64(len(body)), 0), Raw: fmt.Appendf(nil, "From: =?utf-8?q?=C3=89mile?= <emile@example.org>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%x@example.org>\r\n\r\n%s\r\n",
			ann, subject, subject, body)}
	}
	bare := MessageID(w.account, w.deliver("", raw("first", "nothing but words")))
	pid := w.deliver("", raw("second", strings.Repeat("gap ", 200)+"hidden invoices"))
	pids := []string{pid}
	for range 20 { // or the index would not be asked
		pids = append(pids, w.deliver("other", memory.Delivery{}))
	}
	w.rounds()
	for _, pid := range pids {
		w.raw(pid)
	}
	whole := MessageID(w.account, pid)
	check := func(query string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, w.search(query, 500)); d != "" {
			t.Errorf("search %q (-want +got):\n%s", query, d)
		}
	}
	check("ÉMILE", whole, bare)
	check("nvoic", whole)
	check("émile irst", bare)
	check("nvoic irst")
	check("second secon HIDDEN", whole)

	// The text of one that changed is not known.
	w.fold(index, 1)
	w.must(w.svc.journal.Update(w.ctx, func(tx store.Tx, b *journal.Batch) error {
		old, err := tx.Message(whole)
		if err != nil {
			return err
		}
		old.ContentTag = "one"
		next := *old
		next.ContentTag, next.Subject = "two", "third"
		return w.svc.applier(tx, b, &store.Account{ID: w.account}, time.Now()).update(old, &next)
	}))
	check("hidden")
	check("third", whole)

	for _, query := range []string{"", " \t\r\n", "\u3000"} {
		if _, _, err := w.svc.Search(w.ctx, w.account, query, 5, ""); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("search %q: %v", query, err)
		}
	}
	if _, _, err := w.svc.Search(w.ctx, w.account, "x", 5, "no place"); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("a wrong place: %v", err)
	}
	ctx, stop := context.WithCancel(w.ctx)
	stop()
	if _, _, err := w.svc.Search(ctx, w.account, "x", 5, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("of a search that nobody waits for: %v", err)
	}
}

func TestQueryWords(t *testing.T) {
	for query, want := range map[string][]string{
		"Invoice":             {"invoice"},
		"n Invoice  VOICE\tb": {"invoice", "b"},
		"請求書 q 求書":            {"請求書", "q"},
		"äö ÄÖ ö":             {"ÄÖ"},
		`subject:"x y"`:       {`subject:"x`, `y"`},
	} {
		got, err := queryWords(query)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%q: %v\n%s", query, err, d)
		}
	}
	many := make([]string, maxWords+1)
	for i := range many {
		many[i] = fmt.Sprintf("%03d", i+100)
	}
	if _, err := queryWords(strings.Join(many[1:], " ")); err != nil {
		t.Error(err)
	}
	if _, err := queryWords(strings.Join(many, " ")); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("%d words: %v", len(many), err)
	}
}
