package pluginhost

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// flaky fails as often as it is told.
type flaky struct {
	provider.Provider
	fail  int
	err   error
	calls int
	read  []string // what each call of Prepare read
	asked [][]string
	tell  int // messages that Fetch tells before it fails
}

func (f *flaky) outcome() error {
	f.calls++
	if f.calls <= f.fail {
		return f.err
	}
	return nil
}

func (f *flaky) Mailboxes(context.Context, *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	return &provider.MailboxesResponse{}, f.outcome()
}

func (f *flaky) Changes(_ context.Context, _ *provider.ChangesRequest, each func(*mail.Batch) error) error {
	if f.tell > 0 {
		if err := each(&mail.Batch{}); err != nil {
			return err
		}
	}
	return f.outcome()
}

func (f *flaky) Prepare(_ context.Context, _ *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	data, err := io.ReadAll(raw)
	if err != nil {
		return nil, err
	}
	f.read = append(f.read, string(data))
	return &provider.PrepareResponse{}, f.outcome()
}

func (f *flaky) Fetch(_ context.Context, r *provider.FetchRequest, sink provider.FetchSink) error {
	f.asked = append(f.asked, r.IDs)
	for n, id := range r.IDs {
		if n == f.tell && f.calls < f.fail {
			break
		}
		if err := sink.Message(&mail.Message{ProviderID: id}); err != nil {
			return err
		}
	}
	return f.outcome()
}

// layered puts the retry layer over f, with a clock of its own.
func layered(f provider.Provider) (*proxy, *[]time.Duration) {
	now := time.Now()
	var waits []time.Duration
	do := retry(func(ctx context.Context, _ *call, g func(context.Context, provider.Provider) error) error {
		return g(ctx, f)
	},
		5, func() time.Time { return now },
		func(ctx context.Context, d time.Duration) error {
			waits = append(waits, d)
			now = now.Add(d)
			return ctx.Err()
		}, func(provider.Verb) {})
	return &proxy{do: do}, &waits
}

var passing = &mail.Error{Kind: mail.KindUnavailable}

// TestWhatIsRepeated is the table of the rule: each verb, each kind.
func TestWhatIsRepeated(t *testing.T) {
	never := map[provider.Verb]bool{
		provider.VerbSession: true, provider.VerbFinishConnect: true, provider.VerbCreateMailbox: true,
		provider.VerbAppend: true, provider.VerbCopy: true, provider.VerbSend: true,
	}
	contract := reflect.TypeFor[provider.Provider]()
	verbs := 0
	for i := range contract.NumMethod() {
		var name strings.Builder
		for n, r := range contract.Method(i).Name {
			if n > 0 && r >= 'A' && r <= 'Z' {
				name.WriteByte('_')
			}
			name.WriteString(strings.ToLower(string(r)))
		}
		verb := provider.Verb(name.String())
		verbs++
		if got := mayRepeat(verb, passing); got == never[verb] {
			t.Errorf("%s after unavailable: repeated is %v", verb, got)
		}
		for _, kind := range []mail.Kind{
			mail.KindThrottled, mail.KindUnauthorized, mail.KindForbidden, mail.KindGrantExpired, mail.KindMisconfigured,
			mail.KindNotFound, mail.KindInvalid, mail.KindConflict, mail.KindCursorExpired, mail.KindTooLarge,
			mail.KindOverQuota, mail.KindOutcomeUnknown, mail.KindInternal,
		} {
			if mayRepeat(verb, &mail.Error{Kind: kind}) {
				t.Errorf("%s is repeated after %s", verb, kind)
			}
		}
		if mayRepeat(verb, errors.New("plain")) {
			t.Errorf("%s is repeated after a plain error", verb)
		}
	}
	if verbs != 30 {
		t.Errorf("%d verbs", verbs)
	}
	if mayRepeat(provider.VerbMailboxes, &mail.Error{Kind: mail.KindUnavailable, Code: codeStopped}) {
		t.Error("a stopped instance is asked again")
	}
}

func TestRetryPauses(t *testing.T) {
	f := &flaky{fail: 9, err: passing}
	p, waits := layered(f)
	if _, err := p.Mailboxes(t.Context(), &provider.MailboxesRequest{}); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("mailboxes: %v", err)
	}
	if f.calls != 5 || len(*waits) != 4 {
		t.Fatalf("%d calls, %d pauses", f.calls, len(*waits))
	}
	for n, d := range *waits {
		full := retryMin << n
		if d < full/2 || d > full {
			t.Errorf("pause %d is %s, not within half of %s", n, d, full)
		}
	}
	// A provider that says how long is believed.
	f = &flaky{fail: 1, err: &mail.Error{Kind: mail.KindUnavailable, RetryAfter: 7 * time.Second}}
	p, waits = layered(f)
	if _, err := p.Mailboxes(t.Context(), &provider.MailboxesRequest{}); err != nil || !cmp.Equal(*waits, []time.Duration{7 * time.Second}) {
		t.Errorf("%v after pauses %v", err, *waits)
	}
	// What lies past the deadline is not waited for.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	f.calls = 0
	if _, err := p.Mailboxes(ctx, &provider.MailboxesRequest{}); mail.KindOf(err) != mail.KindUnavailable || f.calls != 1 {
		t.Errorf("past the deadline: %d calls, %v", f.calls, err)
	}
}

func TestRetryOfStreams(t *testing.T) {
	f := &flaky{fail: 2, err: passing}
	p, _ := layered(f)
	if err := p.Changes(t.Context(), &provider.ChangesRequest{}, func(*mail.Batch) error { return nil }); err != nil || f.calls != 3 {
		t.Errorf("before anything was told: %d calls, %v", f.calls, err)
	}
	f = &flaky{fail: 2, err: passing, tell: 1}
	p, _ = layered(f)
	if err := p.Changes(t.Context(), &provider.ChangesRequest{}, func(*mail.Batch) error { return nil }); err == nil || f.calls != 1 {
		t.Errorf("after a batch: %d calls, %v", f.calls, err)
	}
}

func TestRetryOfUploads(t *testing.T) {
	f := &flaky{fail: 1, err: passing}
	p, _ := layered(f)
	r := strings.NewReader("skipped;body")
	if _, err := r.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Prepare(t.Context(), &provider.PrepareRequest{}, r); err != nil || !cmp.Equal(f.read, []string{"body", "body"}) {
		t.Errorf("a reader that goes back: %q, %v", f.read, err)
	}
	f = &flaky{fail: 1, err: passing}
	p, _ = layered(f)
	if _, err := p.Prepare(t.Context(), &provider.PrepareRequest{}, io.LimitReader(strings.NewReader("body"), 9)); err == nil || len(f.read) != 1 {
		t.Errorf("a reader that cannot: %q, %v", f.read, err)
	}
}

func TestRetryOfFetchAsksForTheRest(t *testing.T) {
	f := &flaky{fail: 2, err: passing, tell: 1}
	p, _ := layered(f)
	sink := &idSink{}
	if err := p.Fetch(t.Context(), &provider.FetchRequest{IDs: []string{"1", "2", "3"}}, sink); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"1", "2", "3"}, {"2", "3"}, {"3"}}, f.asked); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, sink.ids); diff != "" {
		t.Error(diff)
	}
	f = &flaky{fail: 2, err: passing}
	p, _ = layered(f)
	sink = &idSink{err: passing} // the caller's own error looks like the provider's
	f.tell = 1
	if err := p.Fetch(t.Context(), &provider.FetchRequest{IDs: []string{"1", "2"}}, sink); err == nil || len(f.asked) != 1 {
		t.Errorf("after the sink's error: asked %v, %v", f.asked, err)
	}
}

type idSink struct {
	ids []string
	err error
}

func (s *idSink) Message(m *mail.Message) error {
	s.ids = append(s.ids, m.ProviderID)
	return s.err
}
func (s *idSink) Raw(string, string, io.Reader) error { return errors.New("raw came") }
func (s *idSink) Failed(string, error) error          { return errors.New("a failure came") }

func TestBackoff(t *testing.T) {
	b := backoff{min: 500 * time.Millisecond, max: 30 * time.Second}
	var got []time.Duration
	for range 8 {
		got = append(got, b.step())
	}
	s := time.Second
	want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.reset()
	if d := b.step(); d != s/2 {
		t.Errorf("after a reset: %s", d)
	}
}

func TestRestarts(t *testing.T) {
	r := restarts{backoff: backoff{min: time.Second, max: 3 * time.Second}}
	for n, c := range []struct {
		served bool
		want   time.Duration
	}{
		{false, time.Second}, // one that never started
		{true, 0},            // the first that served
		{true, 2 * time.Second},
		{true, 3 * time.Second},
		{false, 3 * time.Second},
	} {
		r.served = c.served
		if got := r.step(); got != c.want {
			t.Errorf("restart %d after %s, want %s", n+1, got, c.want)
		}
	}
	r.reset() // it served for a good while
	r.served = true
	if got := []time.Duration{r.step(), r.step()}; got[0] != 0 || got[1] != time.Second {
		t.Errorf("after a good while: %v", got)
	}
}
