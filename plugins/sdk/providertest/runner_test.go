package providertest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestRunSuite runs all cases on one provider, one after the other, as a
// plugin process is tested: no case may leave a mess for the next.
func TestRunSuite(t *testing.T) {
	t.Parallel()
	for _, flavour := range flavours {
		for _, wire := range []bool{false, true} {
			name := flavour.name + " directly"
			if wire {
				name = flavour.name + " across the wire"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				near := memory.New(flavour.opts)
				w := near.Cloud().World(ann, bob, cat)
				var p provider.Provider = near
				if wire {
					far, closer, err := provider.Pipe(near)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						if err := closer.Close(); err != nil {
							t.Error(err)
						}
					})
					p = far
				}
				var out strings.Builder
				report := providertest.RunSuite(t.Context(), p, w, &out)
				if !report.OK() {
					t.Errorf("the report is not OK: %v\n%s", report.Err, out.String())
				}
				if err := report.Complete(); err != nil {
					t.Errorf("the report proves too little: %v\n%s", err, out.String())
				}
				if all := len(providertest.Cases()); report.Run != all || report.Passed+report.Skipped != all {
					t.Errorf("%d of %d cases run, %d passed, %d skipped", report.Run, all, report.Passed, report.Skipped)
				}
				for _, r := range report.Results {
					if r.Status == providertest.Skipped && r.Reason == "" {
						t.Errorf("%s was skipped without a reason", r.Name)
					}
				}
			})
		}
	}
}

// least is a world that can do as little as a World may: the owner connects,
// and nothing else is known.
type least struct {
	providertest.NoHooks
	full providertest.World
}

func (l least) Settings() map[string]string { return l.full.Settings() }
func (l least) Address() string             { return l.full.Address() }
func (l least) Connect(ctx context.Context, authorizeURL string) (url.Values, error) {
	return l.full.Connect(ctx, authorizeURL)
}

// TestMissingHooks: cases whose hook is missing are skipped and listed, the
// others run by the provider's own verbs.
func TestMissingHooks(t *testing.T) {
	t.Parallel()
	p := memory.New(memory.Options{})
	var out strings.Builder
	report := providertest.RunSuite(t.Context(), p, least{full: p.Cloud().World(ann)}, &out)
	if !report.OK() {
		t.Fatalf("the report is not OK: %v\n%s", report.Err, out.String())
	}
	if err := report.Complete(); err == nil || !strings.Contains(err.Error(), "read cases were skipped: ") || !strings.Contains(err.Error(), "fetch/raw") {
		t.Errorf("without the truth the report is complete: %v", err)
	}
	got := map[string]string{}
	for _, r := range report.Results {
		if r.Status == providertest.Skipped {
			got[r.Name] = strings.TrimPrefix(r.Reason, "the world has no such hook: ")
		}
	}
	for name, want := range map[string]string{
		"connect/denied": "deny", "send/once": "recipients", "changes/expired": "forget_cursors",
		"grant/revoked": "revoke", "token/coalesced": "token_requests", "notify/hints": "notifications",
		"faults/throttled": "faults.throttled", "configure/nonsense": "bad_settings", "fetch/raw": "truth",
	} {
		if got[name] != want {
			t.Errorf("%s: skipped for %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"changes/delivered", "changes/move", "changes/removal", "changes/keywords", "fetch/exact"} {
		if reason, skipped := got[name]; skipped {
			t.Errorf("%s was skipped, %s, though the provider's own verbs suffice", name, reason)
		}
	}
	if !strings.Contains(out.String(), "skipped, the world has no such hook: forget_cursors: changes/expired") {
		t.Errorf("the summary does not list what was skipped and why:\n%s", out.String())
	}
}

// TestReport: what is printed, and what a case that hangs, panics or fails
// leaves of the run.
func TestReport(t *testing.T) {
	whole := memory.New(memory.Options{})
	hang, end := context.WithCancel(context.Background())
	defer end()
	p := &bent{Provider: whole,
		describe: func(ctx context.Context) (*provider.Info, error) { return whole.Describe(ctx) },
		search: func(context.Context, *provider.SearchRequest) (*provider.SearchResponse, error) {
			panic("searched too far")
		},
		copy: func(context.Context, *provider.CopyRequest) (*provider.ModifyResponse, error) {
			<-hang.Done()
			return nil, hang.Err()
		},
	}
	var out strings.Builder
	report := providertest.Runner{
		Match: func(name string) bool {
			return name == "search/finds" || name == "copy/keeps-original" || name == "mailboxes/stable" || name == "account/unsupported"
		},
		Patience: 100 * time.Millisecond, CaseLimit: 300 * time.Millisecond,
	}.Run(t.Context(), p, whole.Cloud().World(ann), &out)
	got := map[string]providertest.Status{}
	for _, r := range report.Results {
		got[r.Name] = r.Status
	}
	want := map[string]providertest.Status{
		"account/unsupported": providertest.Skipped, "mailboxes/stable": providertest.Passed,
		"copy/keeps-original": providertest.Failed, "search/finds": providertest.Failed,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if report.OK() || report.Run != 4 || report.Passed != 1 || report.Failed != 2 || report.Skipped != 1 {
		t.Errorf("report: %+v", report)
	}
	for _, want := range []string{
		"pass  mailboxes/stable", "skip  account/unsupported            the provider can do everything",
		"FAIL  copy/keeps-original", "did not end within 300ms", "panic: searched too far",
		"4 cases: 3 run, 1 passed, 2 failed, 0 skipped by missing capability, 1 skipped else; 1 of 1 read cases run",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
}

// TestReadCases: they are what any provider can be held to, and a run of few
// of them says so.
func TestReadCases(t *testing.T) {
	var names []string
	for _, c := range providertest.Cases() {
		if c.Read {
			names = append(names, c.Name)
			if len(c.Needs) > 0 {
				t.Errorf("%s is a read case and needs %v", c.Name, c.Needs)
			}
		}
	}
	if len(names) < 2*providertest.LeastReads {
		t.Errorf("there are %d read cases", len(names))
	}
	p := memory.New(memory.Options{Without: []provider.Capability{provider.CapSend}})
	var out strings.Builder
	report := providertest.Runner{Match: func(name string) bool {
		return name == "send/once" || slices.Contains(names[:providertest.LeastReads-1], name)
	}}.Run(t.Context(), p, p.Cloud().World(ann), &out)
	if err := report.Complete(); !report.OK() || err == nil || !strings.Contains(err.Error(), "19 read cases ran, at least 20 must") {
		t.Errorf("19 read cases: %v", err)
	}
	for _, want := range []string{
		"20 cases: 19 run, 19 passed, 0 failed, 1 skipped by missing capability, 0 skipped else; 19 of 19 read cases run",
		"skipped, needs capability send: send/once",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
}

// TestNoStart: a provider that does not take its settings runs nothing.
func TestNoStart(t *testing.T) {
	p := memory.New(memory.Options{})
	var out strings.Builder
	report := providertest.RunSuite(t.Context(), p, world{p.Cloud().World(ann), map[string]string{"page_size": "many"}}, &out)
	if report.OK() || report.Err == nil || report.Run != 0 {
		t.Errorf("report: %+v", report)
	}
	if !strings.Contains(out.String(), "page_size must be a positive number") {
		t.Errorf("the output does not say why: %s", out.String())
	}
}

// TestPrintingFails: a report that cannot be written is no success.
func TestPrintingFails(t *testing.T) {
	p := memory.New(memory.Options{})
	report := providertest.Runner{Match: func(n string) bool { return n == "describe/stable" }}.
		Run(t.Context(), p, p.Cloud().World(ann), full{})
	if report.OK() || !errors.Is(report.Err, errFull) {
		t.Errorf("report: %+v", report)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// recorder is a T that runs one case and remembers how it ended.
type recorder struct {
	only     string
	ctx      context.Context
	failures []string
	skips    int
	cleanups []func()
}

func (r *recorder) Name() string             { return r.only }
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Helper()                  {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Failed() bool             { return len(r.failures) > 0 }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(string, ...any) {
	r.skips++
	runtime.Goexit()
}

func (r *recorder) Run(name string, part func(providertest.T)) bool {
	if name != r.only {
		return true
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		part(r)
	}()
	<-done
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return !r.Failed()
}

// TestInapplicable: a case on the list passes where it is skipped, and fails
// where it could run.
func TestInapplicable(t *testing.T) {
	base := memory.Options{Without: []provider.Capability{provider.CapSearch}}
	for name, want := range map[string]string{
		"search/finds": "", "mailboxes/stable": "take it off Suite.Inapplicable",
	} {
		p := memory.New(base)
		w := p.Cloud().World(ann)
		r := &recorder{only: name, ctx: t.Context()}
		providertest.Suite{
			New:          func(providertest.T) (provider.Provider, providertest.World) { return p, w },
			Inapplicable: []string{name},
		}.Run(r)
		if got := strings.Join(r.failures, " "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if r.skips > 0 {
			t.Errorf("%s was skipped", name)
		}
	}
}
