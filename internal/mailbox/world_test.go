package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const ann = "ann@example.com"

// world is a mirror over a real store and a provider in memory.
type world struct {
	t       testing.TB
	ctx     context.Context
	cloud   *memory.Cloud
	plugin  *memory.Provider
	store   store.Store
	svc     *Service
	account string
	refused []error
	// front, when set, stands in front of the plugin.
	front func(provider.Provider) provider.Provider
}

func (w *world) Provider(string) (provider.Provider, error) {
	if w.front != nil {
		return w.front(w.plugin), nil
	}
	return w.plugin, nil
}
func (w *world) Info(string) (*provider.Info, error)        { return w.plugin.Describe(w.ctx) }
func (w *world) GrantWorks(context.Context, string, string) {}

func (w *world) GrantRefused(_ context.Context, _ string, reason error) {
	w.refused = append(w.refused, reason)
}

func (w *world) SaveGrant(context.Context, string, []byte) error { return nil }
func (w *world) Hint(context.Context, *provider.Hint) error      { return nil }

// hostSide is w as the host that a session talks to.
type hostSide struct{ *world }

func (h hostSide) GrantRefused(context.Context, string, error) error { return nil }

// newWorld connects ann's account; folders and labels are the two kinds of
// provider there are.
func newWorld(t testing.TB, opts memory.Options) *world {
	t.Helper()
	st := bolttest.Open(t)
	w := &world{t: t, ctx: t.Context(), plugin: memory.New(opts), store: st, account: "account-1"}
	w.cloud = w.plugin.Cloud()
	w.cloud.AddAccount(ann, "Ann")
	// The feeds of the provider in memory do not lag.
	w.svc = New(st, journal.New(st, &event.Bus{}, time.Now), w, w, Options{FeedLag: time.Nanosecond})
	w.connect()
	return w
}

func (w *world) connect() {
	w.t.Helper()
	w.open()
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		return tx.PutAccount(&store.Account{ID: w.account, Provider: "memory", Address: ann, State: store.AccountConnecting,
			ConnectedAt: time.Now().Truncate(time.Second)})
	}))
}

// open hands the account to the plugin, and takes new grants, as the host
// does.
func (w *world) open() {
	w.t.Helper()
	plugin := w.plugin
	go func() { _ = plugin.Session(w.ctx, hostSide{w}) }()
	if _, err := w.plugin.OpenAccount(w.account, ann); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deliver(subject string, d memory.Delivery) string {
	w.t.Helper()
	if d.Raw == nil {
		d.Raw = fmt.Appendf(nil, "From: bob@example.org\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nThis is %s.\r\n",
			ann, subject, strings.ReplaceAll(subject, " ", "."), subject)
	}
	id, err := w.cloud.Deliver(ann, d)
	w.must(err)
	return id
}

func (w *world) round() {
	w.t.Helper()
	w.must(w.svc.Round(w.ctx, w.account))
}

// rounds runs until every pending absence is settled.
func (w *world) rounds() {
	w.t.Helper()
	for range 5 {
		w.round()
		var pending []store.Absence
		w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
			pending, err = tx.Absences(w.account, 1000)
			return err
		}))
		if len(pending) == 0 {
			return
		}
	}
	w.t.Fatal("absences were not settled after five rounds")
}

func (w *world) message(pid string) *store.Message {
	w.t.Helper()
	m, err := w.svc.message(w.ctx, MessageID(w.account, pid))
	w.must(err)
	return m
}

// state is what readers see of the account: by message, mailboxes and keywords.
type state map[string]seen

type seen struct {
	In, Keywords []string
}

// truth is the provider's state in our ids.
func (w *world) truth() state {
	w.t.Helper()
	list, err := w.cloud.Messages(ann)
	w.must(err)
	s := state{}
	for _, m := range list {
		var in []string
		for _, box := range m.Mailboxes {
			in = append(in, ID(w.account, box))
		}
		slices.Sort(in)
		s[MessageID(w.account, m.ProviderID)] = seen{in, normalKeywords(m.Keywords)}
	}
	return s
}

// mirror is the mirror's state.
func (w *world) mirror() state {
	w.t.Helper()
	s := state{}
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		keys, err := tx.MessagesOf(w.account, store.DateKey{}, 100000)
		for _, k := range keys {
			m, err := tx.Message(k.ID)
			if err != nil {
				return err
			}
			s[m.ID] = seen{m.In, m.AllKeywords()}
		}
		return err
	}))
	return s
}

// events reads the whole journal of the account.
func (w *world) events() []event.Event {
	w.t.Helper()
	var all []event.Event
	w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
		all, err = tx.AccountEventsAfter(w.account, 0, 100000)
		return err
	}))
	return all
}

func (w *world) eventsAfter(sequence uint64) []event.Event {
	return slices.DeleteFunc(w.events(), func(e event.Event) bool { return e.Sequence <= sequence })
}

func (w *world) last() uint64 {
	all := w.events()
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Sequence
}

// told folds the journal into the state that a reader of events knows. It
// fails where an event tells what cannot be: the second birth of a message, a
// keyword added twice, a gap in the sequence.
func (w *world) told() state {
	w.t.Helper()
	s := state{}
	for i, e := range w.events() {
		if e.Sequence != uint64(i+1) {
			w.t.Fatalf("event %d has sequence %d", i+1, e.Sequence)
		}
		if e.Message == "" {
			continue
		}
		old, known := s[e.Message]
		switch e.Type {
		case event.MessageCreated:
			if known {
				w.t.Fatalf("sequence %d: message created twice", e.Sequence)
			}
			s[e.Message] = seen{e.AddedMailboxes, e.AddedKeywords}
		case event.MessageUpdated:
			if !known {
				w.t.Fatalf("sequence %d: unknown message updated", e.Sequence)
			}
			s[e.Message] = seen{
				fold(w.t, e.Sequence, old.In, e.AddedMailboxes, e.RemovedMailboxes),
				fold(w.t, e.Sequence, old.Keywords, e.AddedKeywords, e.RemovedKeywords)}
		case event.MessageDeleted:
			if !known {
				w.t.Fatalf("sequence %d: unknown message deleted", e.Sequence)
			}
			delete(s, e.Message)
		}
	}
	return s
}

func fold(t testing.TB, seq uint64, have, added, removed []string) []string {
	t.Helper()
	out := slices.Clone(have)
	for _, x := range removed {
		i := slices.Index(out, x)
		if i < 0 {
			t.Fatalf("sequence %d: removes %q, which was not there", seq, x)
		}
		out = slices.Delete(out, i, i+1)
	}
	for _, x := range added {
		if slices.Contains(out, x) {
			t.Fatalf("sequence %d: adds %q, which was there", seq, x)
		}
		out = append(out, x)
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil
	}
	return out
}

// inStep checks that provider, mirror and journal tell the same.
func (w *world) inStep() {
	w.t.Helper()
	truth := w.truth()
	if d := cmp.Diff(truth, w.mirror(), cmpopts.EquateEmpty()); d != "" {
		w.t.Fatalf("mirror differs from the provider (-provider +mirror):\n%s", d)
	}
	if d := cmp.Diff(truth, w.told(), cmpopts.EquateEmpty()); d != "" {
		w.t.Fatalf("journal differs from the provider (-provider +journal):\n%s", d)
	}
}

// flavours are the two kinds of provider.
func flavours(t *testing.T, test func(t *testing.T, opts memory.Options)) {
	t.Run("folders", func(t *testing.T) {
		test(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	})
	t.Run("labels", func(t *testing.T) {
		test(t, memory.Options{Scope: mail.ScopeAccount, Kind: mail.KindLabel})
	})
}
