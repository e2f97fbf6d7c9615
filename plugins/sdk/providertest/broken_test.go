package providertest_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// bent is a provider some of whose verbs were replaced.
type bent struct {
	provider.Provider
	describe   func(context.Context) (*provider.Info, error)
	configure  func(context.Context, *provider.ConfigureRequest) (*provider.ConfigureResponse, error)
	check      func(context.Context, *provider.CheckRequest) (*provider.CheckResponse, error)
	session    func(context.Context, provider.Host) error
	open       func(context.Context, *provider.OpenRequest) error
	close      func(context.Context, *provider.CloseRequest) error
	begin      func(context.Context, *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error)
	finish     func(context.Context, *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error)
	mailboxes  func(context.Context, *provider.MailboxesRequest) (*provider.MailboxesResponse, error)
	create     func(context.Context, *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error)
	rename     func(context.Context, *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error)
	enumerate  func(context.Context, *provider.EnumerateRequest, func(*provider.EnumerateBatch) error) error
	changes    func(context.Context, *provider.ChangesRequest, func(*mail.Batch) error) error
	fetch      func(context.Context, *provider.FetchRequest, provider.FetchSink) error
	modify     func(context.Context, *provider.ModifyRequest) (*provider.ModifyResponse, error)
	append     func(context.Context, *provider.AppendRequest, io.Reader) (*provider.AppendResponse, error)
	copy       func(context.Context, *provider.CopyRequest) (*provider.ModifyResponse, error)
	delete     func(context.Context, *provider.DeleteRequest) (*provider.ModifyResponse, error)
	purge      func(context.Context, *provider.DeleteRequest) (*provider.ModifyResponse, error)
	prepare    func(context.Context, *provider.PrepareRequest, io.Reader) (*provider.PrepareResponse, error)
	send       func(context.Context, *provider.SendRequest) (*provider.SendResponse, error)
	probe      func(context.Context, *provider.ProbeRequest) (*provider.ProbeResponse, error)
	identities func(context.Context, *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error)
	search     func(context.Context, *provider.SearchRequest) (*provider.SearchResponse, error)
	watch      func(context.Context, *provider.WatchRequest) (*provider.WatchResponse, error)
	unwatch    func(context.Context, *provider.UnwatchRequest) error
	notify     func(context.Context, *provider.NotifyRequest) (*provider.NotifyResponse, error)
	listen     func(context.Context, *provider.ListenRequest, func(*provider.Hint) error) error
}

// or gives the replacement where there is one.
func or[F any](replaced F, is bool, original F) F {
	if is {
		return replaced
	}
	return original
}

func (b *bent) Describe(ctx context.Context) (*provider.Info, error) {
	return or(b.describe, b.describe != nil, b.Provider.Describe)(ctx)
}

func (b *bent) Configure(ctx context.Context, r *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	return or(b.configure, b.configure != nil, b.Provider.Configure)(ctx, r)
}

func (b *bent) Check(ctx context.Context, r *provider.CheckRequest) (*provider.CheckResponse, error) {
	return or(b.check, b.check != nil, b.Provider.Check)(ctx, r)
}

func (b *bent) Session(ctx context.Context, h provider.Host) error {
	return or(b.session, b.session != nil, b.Provider.Session)(ctx, h)
}

func (b *bent) Open(ctx context.Context, r *provider.OpenRequest) error {
	return or(b.open, b.open != nil, b.Provider.Open)(ctx, r)
}

func (b *bent) Close(ctx context.Context, r *provider.CloseRequest) error {
	return or(b.close, b.close != nil, b.Provider.Close)(ctx, r)
}

func (b *bent) BeginConnect(ctx context.Context, r *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
	return or(b.begin, b.begin != nil, b.Provider.BeginConnect)(ctx, r)
}

func (b *bent) FinishConnect(ctx context.Context, r *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
	return or(b.finish, b.finish != nil, b.Provider.FinishConnect)(ctx, r)
}

func (b *bent) Mailboxes(ctx context.Context, r *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	return or(b.mailboxes, b.mailboxes != nil, b.Provider.Mailboxes)(ctx, r)
}

func (b *bent) CreateMailbox(ctx context.Context, r *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	return or(b.create, b.create != nil, b.Provider.CreateMailbox)(ctx, r)
}

func (b *bent) RenameMailbox(ctx context.Context, r *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
	return or(b.rename, b.rename != nil, b.Provider.RenameMailbox)(ctx, r)
}

func (b *bent) Enumerate(ctx context.Context, r *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	return or(b.enumerate, b.enumerate != nil, b.Provider.Enumerate)(ctx, r, each)
}

func (b *bent) Changes(ctx context.Context, r *provider.ChangesRequest, each func(*mail.Batch) error) error {
	return or(b.changes, b.changes != nil, b.Provider.Changes)(ctx, r, each)
}

func (b *bent) Fetch(ctx context.Context, r *provider.FetchRequest, s provider.FetchSink) error {
	return or(b.fetch, b.fetch != nil, b.Provider.Fetch)(ctx, r, s)
}

func (b *bent) Modify(ctx context.Context, r *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	return or(b.modify, b.modify != nil, b.Provider.Modify)(ctx, r)
}

func (b *bent) Append(ctx context.Context, r *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	return or(b.append, b.append != nil, b.Provider.Append)(ctx, r, raw)
}

func (b *bent) Copy(ctx context.Context, r *provider.CopyRequest) (*provider.ModifyResponse, error) {
	return or(b.copy, b.copy != nil, b.Provider.Copy)(ctx, r)
}

func (b *bent) Delete(ctx context.Context, r *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return or(b.delete, b.delete != nil, b.Provider.Delete)(ctx, r)
}

func (b *bent) Purge(ctx context.Context, r *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return or(b.purge, b.purge != nil, b.Provider.Purge)(ctx, r)
}

func (b *bent) Prepare(ctx context.Context, r *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	return or(b.prepare, b.prepare != nil, b.Provider.Prepare)(ctx, r, raw)
}

func (b *bent) Send(ctx context.Context, r *provider.SendRequest) (*provider.SendResponse, error) {
	return or(b.send, b.send != nil, b.Provider.Send)(ctx, r)
}

func (b *bent) Probe(ctx context.Context, r *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	return or(b.probe, b.probe != nil, b.Provider.Probe)(ctx, r)
}

func (b *bent) Identities(ctx context.Context, r *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
	return or(b.identities, b.identities != nil, b.Provider.Identities)(ctx, r)
}

func (b *bent) Search(ctx context.Context, r *provider.SearchRequest) (*provider.SearchResponse, error) {
	return or(b.search, b.search != nil, b.Provider.Search)(ctx, r)
}

func (b *bent) Watch(ctx context.Context, r *provider.WatchRequest) (*provider.WatchResponse, error) {
	return or(b.watch, b.watch != nil, b.Provider.Watch)(ctx, r)
}

func (b *bent) Unwatch(ctx context.Context, r *provider.UnwatchRequest) error {
	return or(b.unwatch, b.unwatch != nil, b.Provider.Unwatch)(ctx, r)
}

func (b *bent) Notify(ctx context.Context, r *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	return or(b.notify, b.notify != nil, b.Provider.Notify)(ctx, r)
}

func (b *bent) Listen(ctx context.Context, r *provider.ListenRequest, each func(*provider.Hint) error) error {
	return or(b.listen, b.listen != nil, b.Provider.Listen)(ctx, r, each)
}

// broken is one way to break the contract, and the case that must see it.
type broken struct {
	name   string
	caught string
	opts   memory.Options
	// spoil replaces verbs of b; whole is the provider as it was, and life ends
	// with the test: what ignores its caller's context heeds that one.
	spoil func(life context.Context, b *bent, whole *memory.Provider)
	// sound replaces verbs of the provider that passes, too, where the case
	// needs more than memory has.
	sound func(b *bent, whole *memory.Provider)
	// settings that the world has beside memory's own.
	settings map[string]string
}

// world is the cloud's, with more settings.
type world struct {
	providertest.World
	more map[string]string
}

func (w world) Settings() map[string]string {
	s := w.World.Settings()
	maps.Copy(s, w.more)
	return s
}

func (b broken) world(whole *memory.Provider) providertest.World {
	return world{whole.Cloud().World(ann, bob, cat), b.settings}
}

func allBroken() []broken {
	return slices.Concat(brokenConnecting(), brokenIdentities(), brokenMailboxes(), brokenFeeds(), brokenFetching(),
		brokenWriting(), brokenSending(), brokenWatching(), brokenLife())
}

// briefly is the patience of a run that is meant to fail.
const briefly = 250 * time.Millisecond

// run runs one case on a provider.
func run(t *testing.T, name string, p provider.Provider, w providertest.World, patience time.Duration) (providertest.Result, string) {
	t.Helper()
	var out strings.Builder
	report := providertest.Runner{
		Match: func(n string) bool { return n == name }, Patience: patience, CaseLimit: 20 * time.Second,
	}.Run(t.Context(), p, w, &out)
	if report.Err != nil || len(report.Results) != 1 {
		t.Fatalf("case %s: %d results, %v", name, len(report.Results), report.Err)
	}
	return report.Results[0], out.String()
}

// TestBrokenProviders breaks the provider in one way after the other: the case
// that is named must fail, and must pass where nothing is broken.
func TestBrokenProviders(t *testing.T) {
	t.Parallel()
	type row struct{ name, caught, said string }
	rows := make([]row, len(allBroken()))
	t.Run("all", func(t *testing.T) {
		for i, b := range allBroken() {
			t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				life, end := context.WithCancel(context.Background())
				t.Cleanup(end)

				whole := memory.New(b.opts)
				sound := &bent{Provider: whole}
				if b.sound != nil {
					b.sound(sound, whole)
				}
				res, out := run(t, b.caught, sound, b.world(whole), 5*time.Second)
				if res.Status != providertest.Passed {
					t.Fatalf("unbroken, %s ends with %q, want a pass:\n%s", b.caught, res.Status, out)
				}

				whole = memory.New(b.opts)
				spoilt := &bent{Provider: whole}
				if b.sound != nil {
					b.sound(spoilt, whole)
				}
				b.spoil(life, spoilt, whole)
				res, out = run(t, b.caught, spoilt, b.world(whole), briefly)
				if res.Status != providertest.Failed {
					t.Fatalf("%s does not see it, ends with %q:\n%s", b.caught, res.Status, out)
				}
				rows[i] = row{b.name, b.caught, strings.Join(res.Log, "; ")}
			})
		}
	})
	if t.Failed() {
		return
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if r.name != "" { // -run picked others
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.name, r.caught, firstRunes(r.said, 110))
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d broken providers, each caught by its case:\n%s", len(rows), table.String())
}

func firstRunes(s string, n int) string {
	r := []rune(strings.ReplaceAll(s, "\n", " "))
	if len(r) > n {
		return string(r[:n]) + "…"
	}
	return string(r)
}

// TestEveryCaseCanFail: every case is named by a broken provider, and no case
// is named that does not exist.
func TestEveryCaseCanFail(t *testing.T) {
	names, caught := map[string]bool{}, map[string]bool{}
	for _, c := range providertest.Cases() {
		if names[c.Name] {
			t.Errorf("case %s is there twice", c.Name)
		}
		if c.Doc == "" {
			t.Errorf("case %s says nothing", c.Name)
		}
		names[c.Name] = true
	}
	for _, b := range allBroken() {
		if !names[b.caught] {
			t.Errorf("%s names the case %s, which does not exist", b.name, b.caught)
		}
		caught[b.caught] = true
	}
	for name := range names {
		if !caught[name] {
			t.Errorf("no broken provider is caught by %s", name)
		}
	}
}
