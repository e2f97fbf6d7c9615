package account

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const (
	ann = "ann@example.com"
	bob = "bob@example.com"
)

// world is the accounts over a real store and a provider in memory.
type world struct {
	t       *testing.T
	ctx     context.Context
	cloud   *memory.Cloud
	plugin  *memory.Provider
	store   *bolt.Store
	svc     *Service
	mu      sync.Mutex
	now     time.Time
	touched chan string
	away    bool // the provider is not configured
	forgot  []string
}

func (w *world) Provider(name string) (provider.Provider, error) {
	if name != "memory" || w.away {
		return nil, &mail.Error{Kind: mail.KindNotFound, Message: "no such provider"}
	}
	return w.plugin, nil
}

func (w *world) Info(name string) (*provider.Info, error) {
	if _, err := w.Provider(name); err != nil {
		return nil, err
	}
	return w.plugin.Describe(w.ctx)
}

func (w *world) Touch(_ context.Context, account string) {
	select {
	case w.touched <- account:
	default:
	}
}

func (w *world) Hinted(ctx context.Context, account string) { w.Touch(ctx, account) }

func (w *world) Anew(account string) { w.Touch(w.ctx, account) }

func (w *world) Forget(account string) { w.forgot = append(w.forgot, account) }

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st := bolttest.Open(t)
	w := &world{t: t, ctx: t.Context(), plugin: memory.New(memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder}),
		store: st, now: time.Now().UTC(), touched: make(chan string, 16)}
	w.cloud = w.plugin.Cloud()
	w.cloud.AddAccount(ann, "Ann")
	w.cloud.AddAccount(bob, "Bob")
	w.svc = New(st, journal.New(st, &event.Bus{}, w.clock), w, Options{Now: w.clock,
		PublicURL: &url.URL{Scheme: "http", Host: "localhost:8080"}, Push: func(string) bool { return true }})
	w.svc.SetMirror(w)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// link begins a consent and gives the token of its link.
// browser is the secret of the owners' browser.
const browser = "browser-1"

func (w *world) link(in ConnectInput) string {
	w.t.Helper()
	in.Provider = "memory"
	l, err := w.svc.BeginConnect(w.ctx, in)
	w.must(err)
	u, err := url.Parse(l.URL)
	w.must(err)
	return u.Path[len("/connect/"):]
}

// approve goes through the provider's page and gives what comes back.
func (w *world) approve(token, address string, yes bool) url.Values {
	w.t.Helper()
	at, err := w.svc.OpenLink(w.ctx, token, browser)
	w.must(err)
	params, err := w.cloud.Authorize(at, address, yes)
	w.must(err)
	return params
}

func (w *world) connect(in ConnectInput, address string) *Finished {
	w.t.Helper()
	f, err := w.svc.Callback(w.ctx, "memory", browser, w.approve(w.link(in), address, true))
	w.must(err)
	return f
}

func (w *world) events() (out []event.Type) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		list, err := tx.EventsAfter(0, 1000)
		for _, e := range list {
			out = append(out, e.Type)
		}
		return err
	}))
	return out
}

func (w *world) account(id string) *store.Account {
	w.t.Helper()
	a, err := w.svc.get(w.ctx, id)
	w.must(err)
	return a
}

func code(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestConnect(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{ReturnURL: "https://app.example/done?x=1", ExternalID: "user-7"}, ann)
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	back, err := url.Parse(f.Return)
	w.must(err)
	if q := back.Query(); q.Get("status") != "connected" || q.Get("account") != f.Account || q.Get("x") != "1" {
		t.Errorf("came back to %s", f.Return)
	}
	a := w.account(f.Account)
	if a.Address != ann || a.ExternalID != "user-7" || a.State != store.AccountConnecting {
		t.Errorf("account: %+v", a)
	}
	if got := <-w.touched; got != f.Account {
		t.Errorf("the mirror was told of %s", got)
	}
	again := w.connect(ConnectInput{}, ann)
	if again.Account != f.Account {
		t.Errorf("connecting again gave another account: %s, %s", again.Account, f.Account)
	}
	if got := w.events(); !slices.Equal(got, []event.Type{event.AccountConnected}) {
		t.Errorf("events: %v", got)
	}
}

func TestLinksAndStatesAreGoodOnce(t *testing.T) {
	w := newWorld(t)
	if _, err := w.svc.OpenLink(w.ctx, "nonsense", browser); code(err) != "link_unknown" {
		t.Errorf("an unknown link: %v", err)
	}
	token := w.link(ConnectInput{})
	first := w.approve(token, ann, true)
	// Somebody else opens the link, too: that ends no sign-in under way.
	second := w.approve(token, ann, true)
	forged := url.Values{"code": first["code"], "state": {first.Get("state") + "x"}}
	if _, err := w.svc.Callback(w.ctx, "memory", browser, forged); code(err) != "state_unknown" {
		t.Errorf("a forged state: %v", err)
	}
	if f, err := w.svc.Callback(w.ctx, "memory", browser, first); err != nil || f.Err != nil {
		t.Fatal(err, f)
	}
	for name, params := range map[string]url.Values{"a replayed state": first, "the state of another opening": second} {
		if _, err := w.svc.Callback(w.ctx, "memory", browser, params); code(err) != "link_used" || mail.KindOf(err) != mail.KindConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.svc.OpenLink(w.ctx, token, browser); code(err) != "link_used" {
		t.Errorf("a used link: %v", err)
	}
	if _, err := w.svc.Callback(w.ctx, "memory", browser, url.Values{"code": {"x"}}); code(err) != "state_missing" {
		t.Errorf("no state: %v", err)
	}
	late := w.link(ConnectInput{})
	params := w.approve(late, ann, true)
	w.advance(2 * time.Hour)
	if _, err := w.svc.OpenLink(w.ctx, late, browser); code(err) != "link_expired" {
		t.Errorf("an expired link: %v", err)
	}
	if _, err := w.svc.Callback(w.ctx, "memory", browser, params); code(err) != "link_expired" {
		t.Errorf("an expired state: %v", err)
	}
}

// TestSessions: the provider's answer is taken from the browser that began, and
// for ten minutes.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	token := w.link(ConnectInput{ReturnURL: "https://app.example/done"})
	params := w.approve(token, ann, true)
	if _, err := w.svc.Callback(w.ctx, "memory", "another", params); code(err) != "other_browser" || mail.KindOf(err) != mail.KindForbidden {
		t.Errorf("from another browser: %v", err)
	}
	w.advance(11 * time.Minute)
	if _, err := w.svc.Callback(w.ctx, "memory", browser, params); code(err) != "state_expired" {
		t.Errorf("after eleven minutes: %v", err)
	}
	// The link is good still, and says who asks.
	asking, err := w.svc.Asking(w.ctx, token)
	if err != nil || asking.Application != "app.example" || asking.Provider == "" {
		t.Errorf("asking: %+v %v", asking, err)
	}
	if f, err := w.svc.Callback(w.ctx, "memory", browser, w.approve(token, ann, true)); err != nil || f.Err != nil {
		t.Errorf("opened again: %v %+v", err, f)
	}
	late := w.link(ConnectInput{ReturnURL: "https://app.example/done"})
	w.advance(2 * time.Hour)
	var again *Again
	if _, err := w.svc.OpenLink(w.ctx, late, browser); !errors.As(err, &again) || again.URL != "https://app.example/done?code=link_expired&status=error" {
		t.Errorf("an expired link: %v", err)
	}
}

func TestRefusedConsents(t *testing.T) {
	w := newWorld(t)
	f, err := w.svc.Callback(w.ctx, "memory", browser, w.approve(w.link(ConnectInput{ReturnURL: "https://app.example/"}), ann, false))
	w.must(err)
	if q, _ := url.Parse(f.Return); mail.KindOf(f.Err) != mail.KindForbidden || q.Query().Get("code") != "access_denied" {
		t.Errorf("denied: %v, back to %s", f.Err, f.Return)
	}
	// What was denied can be tried again by the same link, with another state.
	token := w.link(ConnectInput{})
	denied := w.approve(token, ann, false)
	if f, err := w.svc.Callback(w.ctx, "memory", browser, denied); err != nil || mail.KindOf(f.Err) != mail.KindForbidden {
		t.Errorf("denied: %v %+v", err, f)
	}
	if _, err := w.svc.Callback(w.ctx, "memory", browser, denied); code(err) != "state_used" || mail.KindOf(err) != mail.KindConflict {
		t.Errorf("a replayed denial: %v", err)
	}
	if _, err := w.svc.Asking(w.ctx, token); err != nil {
		t.Errorf("the link after a denial: %v", err)
	}
	f = w.connect(ConnectInput{ExpectedAddress: bob}, ann)
	if code(f.Err) != "address_mismatch" {
		t.Errorf("another address than expected: %v", f.Err)
	}
	if got := w.events(); len(got) != 0 {
		t.Errorf("refused consents told %v", got)
	}
	for in, want := range map[ConnectInput]mail.Kind{
		{Provider: "nobody"}:                                      mail.KindNotFound,
		{Provider: "memory", ReturnURL: "javascript:x"}:           mail.KindInvalid,
		{Provider: "memory", ReturnURL: "https://u:p@a.example/"}: mail.KindInvalid,
		{Provider: "memory", ReturnURL: "/relative"}:              mail.KindInvalid,
	} {
		if _, err := w.svc.BeginConnect(w.ctx, in); mail.KindOf(err) != want {
			t.Errorf("%+v: %v, want %s", in, err, want)
		}
	}
}

// TestOldOpenings: of many openings the last few count.
func TestOldOpenings(t *testing.T) {
	w := newWorld(t)
	token := w.link(ConnectInput{})
	var all []url.Values
	for range maxOpenings + 1 {
		all = append(all, w.approve(token, ann, true))
	}
	if _, err := w.svc.Callback(w.ctx, "memory", browser, all[0]); code(err) != "state_unknown" {
		t.Errorf("the first opening: %v", err)
	}
	if f, err := w.svc.Callback(w.ctx, "memory", browser, all[1]); err != nil || f.Err != nil {
		t.Errorf("the second opening: %v %+v", err, f)
	}
}

func TestReconnectingKeepsThePause(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{}, ann)
	yes := true
	_, err := w.svc.Update(w.ctx, f.Account, Update{Paused: &yes})
	w.must(err)
	w.svc.GrantRefused(w.ctx, f.Account, &mail.Error{Kind: mail.KindGrantExpired, Message: "revoked"})
	w.connect(ConnectInput{}, ann)
	if a := w.account(f.Account); a.State != store.AccountPaused || !a.Paused {
		t.Errorf("the paused account is %s", a.State)
	}
}

func TestExpiredGrantIsToldOnceAndHealedByReconnecting(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{}, ann)
	reason := &mail.Error{Kind: mail.KindGrantExpired, Code: "X1", Message: "revoked by its owner"}
	for range 3 {
		w.svc.GrantRefused(w.ctx, f.Account, reason)
	}
	a := w.account(f.Account)
	if a.State != store.AccountGrantExpired || a.StateReason != "revoked by its owner (X1)" || a.Watch.ID != "" {
		t.Errorf("account is %s: %q, watched by %q", a.State, a.StateReason, a.Watch.ID)
	}
	w.connect(ConnectInput{}, ann)
	if a := w.account(f.Account); a.State != store.AccountSyncing || a.StateReason != "" {
		t.Errorf("after reconnecting the account is %s: %q", a.State, a.StateReason)
	}
	want := []event.Type{event.AccountConnected, event.AccountGrantExpired, event.AccountRecovered}
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("events: %v, want %v", got, want)
	}
}

func TestMisconfiguredProviderIsNobodysGrant(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{}, ann)
	for range 2 {
		w.svc.GrantRefused(w.ctx, f.Account, &mail.Error{Kind: mail.KindMisconfigured, Message: "the secret has expired"})
	}
	if w.account(f.Account).State == store.AccountGrantExpired || w.svc.Misconfigured("memory") == "" {
		t.Errorf("account is %s, provider %q", w.account(f.Account).State, w.svc.Misconfigured("memory"))
	}
	if got := w.events(); !slices.Equal(got, []event.Type{event.AccountConnected, event.ProviderMisconfigured}) {
		t.Errorf("events: %v", got)
	}
	w.must(w.svc.SaveGrant(w.ctx, "memory", f.Account, []byte("new")))
	if why := w.svc.Misconfigured("memory"); why != "" {
		t.Errorf("the provider works again, but is said to be %q", why)
	}
	if err := w.svc.SaveGrant(w.ctx, "other", f.Account, []byte("x")); mail.KindOf(err) != mail.KindForbidden {
		t.Errorf("a grant from another provider's plugin: %v", err)
	}
}

// TestWatch lets the service keep a channel alive.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{}, ann)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	drain := func() { // until the watch is there: making one touches the account
		for w.account(f.Account).Watch.ID == "" {
			<-w.touched
		}
	}
	drain()
	first := w.account(f.Account).Watch
	if !first.Expires.After(w.clock()) || len(first.LookupKeys) == 0 {
		t.Errorf("watch: %+v", first)
	}
	w.svc.Hint(ctx, "memory", &provider.Hint{Kind: provider.HintChanged, LookupKey: first.LookupKeys[0]})
	if got := <-w.touched; got != f.Account {
		t.Errorf("the hint touched %s", got)
	}
	w.svc.Hint(ctx, "memory", &provider.Hint{Kind: provider.HintChanged, LookupKey: "nobody's"})
	w.must(w.cloud.DropWatches(ann))
	w.svc.Hint(ctx, "memory", &provider.Hint{Kind: provider.HintRemoved, LookupKey: first.LookupKeys[0]})
	for w.account(f.Account).Watch.ID == "" || w.account(f.Account).Watch.ID == first.ID {
		<-w.touched
	}
	// A pause lets the channel run out, its end makes a new one.
	for _, paused := range []bool{true, false} {
		_, err := w.svc.Update(ctx, f.Account, Update{Paused: &paused})
		w.must(err)
		if paused {
			w.must(w.cloud.DropWatches(ann))
			w.must(w.svc.lost(ctx, f.Account))
		}
	}
	for w.account(f.Account).Watch.ID == "" {
		<-w.touched
	}
	cancel()
	w.must(<-done)
}

// TestOneAtATime: an account that is worked on is given to nobody else.
func TestOneAtATime(t *testing.T) {
	ws := newWatches(time.Now)
	ws.due("a1")
	if due, _ := ws.take(); !slices.Equal(due, []string{"a1"}) {
		t.Fatalf("due: %v", due)
	}
	ws.due("a1")
	if due, wait := ws.take(); len(due) != 0 || wait <= 0 {
		t.Errorf("due twice: %v, next in %s", due, wait)
	}
	ws.done("a1")
	if due, _ := ws.take(); !slices.Equal(due, []string{"a1"}) {
		t.Errorf("what became due meanwhile: %v", due)
	}
}

func TestUpdateAndDisconnect(t *testing.T) {
	w := newWorld(t)
	f := w.connect(ConnectInput{}, ann)
	yes, no, full, odd := true, false, store.MirrorFull, store.MirrorMode("odd")
	a, err := w.svc.Update(w.ctx, f.Account, Update{Paused: &yes, Mirror: &full})
	if err != nil || a.State != store.AccountPaused || a.Mirror != full {
		t.Errorf("paused: %+v, %v", a, err)
	}
	if a, err = w.svc.Update(w.ctx, f.Account, Update{Paused: &no}); err != nil || a.State != store.AccountSyncing {
		t.Errorf("resumed: %+v, %v", a, err)
	}
	if _, err := w.svc.Update(w.ctx, f.Account, Update{Mirror: &odd}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("unknown mirror mode: %v", err)
	}
	// A context that ends in between leaves nothing half done.
	ctx, cancel := context.WithCancel(w.ctx)
	erased := false
	w.must(w.svc.Disconnect(ctx, f.Account, true, func(ctx context.Context) error {
		cancel()
		erased = ctx.Err() == nil && len(w.forgot) == 0
		return nil
	}))
	if !erased || !slices.Equal(w.forgot, []string{f.Account}) {
		t.Errorf("erased %v, the mirror forgot %v", erased, w.forgot)
	}
	if _, err := w.svc.get(w.ctx, f.Account); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("the account is still there: %v", err)
	}
	if err := w.svc.Disconnect(w.ctx, f.Account, true, nil); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("disconnecting twice: %v", err)
	}
	if _, err := w.svc.OpenRequest(w.ctx, f.Account); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("the grant is still there: %v", err)
	}
	if got := w.events(); got[len(got)-1] != event.AccountDisconnected {
		t.Errorf("events: %v", got)
	}
}
