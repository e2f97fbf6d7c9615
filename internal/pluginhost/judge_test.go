package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// liar answers what a test wants.
type liar struct {
	provider.Provider // nil: a test calls what is below alone
	mailboxes         []mail.Mailbox
	batches           []*mail.Batch
	found             *provider.SearchResponse
	fetch             func(context.Context, provider.FetchSink) error
	// silent blocks until the call is given up.
	silent bool
}

func (l *liar) wait(ctx context.Context) error {
	if !l.silent {
		return nil
	}
	<-ctx.Done()
	return &mail.Error{Kind: mail.KindUnavailable, Err: ctx.Err()}
}

func (l *liar) Mailboxes(ctx context.Context, _ *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	return &provider.MailboxesResponse{Mailboxes: l.mailboxes}, l.wait(ctx)
}

func (l *liar) Changes(ctx context.Context, _ *provider.ChangesRequest, each func(*mail.Batch) error) error {
	for _, b := range l.batches {
		if err := each(b); err != nil {
			return err
		}
	}
	return l.wait(ctx)
}

func (l *liar) Search(context.Context, *provider.SearchRequest) (*provider.SearchResponse, error) {
	return l.found, nil
}

func (l *liar) Fetch(ctx context.Context, _ *provider.FetchRequest, sink provider.FetchSink) error {
	return l.fetch(ctx, sink)
}

// facing is a proxy before a liar, with little patience.
func facing(l *liar) *proxy {
	do := func(ctx context.Context, _ *call, f func(context.Context, provider.Provider) error) error {
		return f(ctx, l)
	}
	return &proxy{do: patience{answer: time.Minute, upload: time.Minute, silence: time.Minute}.layer(do)}
}

func TestAnswersThatCannotBeMeant(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	ok := mail.Message{ProviderID: "m1"}
	changes := func(b mail.Batch) func(*proxy) error {
		return func(*proxy) error {
			told := 0
			err := facing(&liar{batches: []*mail.Batch{&b}}).Changes(t.Context(), &provider.ChangesRequest{}, func(*mail.Batch) error { told++; return nil })
			if told > 0 {
				t.Error("the core was told")
			}
			return err
		}
	}
	mailboxes := func(list ...mail.Mailbox) func(*proxy) error {
		return func(*proxy) error {
			_, err := facing(&liar{mailboxes: list}).Mailboxes(t.Context(), &provider.MailboxesRequest{})
			return err
		}
	}
	fetch := func(f func(context.Context, provider.FetchSink) error) func(*proxy) error {
		return func(*proxy) error {
			return facing(&liar{fetch: f}).Fetch(t.Context(), &provider.FetchRequest{IDs: []string{"m1"}}, &discard{})
		}
	}
	for name, do := range map[string]func(*proxy) error{
		"a mailbox without an id":    mailboxes(mail.Mailbox{Name: "x"}),
		"a mailbox with a long id":   mailboxes(mail.Mailbox{ID: long}),
		"a mailbox with a long name": mailboxes(mail.Mailbox{ID: "f", Name: long}),
		"a mailbox twice":            mailboxes(mail.Mailbox{ID: "f"}, mail.Mailbox{ID: "f"}),
		"too many mailboxes":         mailboxes(make([]mail.Mailbox, maxMailboxes+1)...),
		"a message without an id":    changes(mail.Batch{Items: []mail.Item{{}}}),
		"a message with a long id":   changes(mail.Batch{Items: []mail.Item{{Message: mail.Message{ProviderID: long}}}}),
		"a long thread":              changes(mail.Batch{Items: []mail.Item{{Message: mail.Message{ProviderID: "m", ProviderThreadID: long}}}}),
		"a long mailbox":             changes(mail.Batch{Items: []mail.Item{{Mailbox: long, Message: ok}}}),
		"a message in a long one":    changes(mail.Batch{Items: []mail.Item{{Message: mail.Message{ProviderID: "m", Mailboxes: []string{long}}}}}),
		"a long cursor":              changes(mail.Batch{Next: make([]byte, maxCursor+1)}),
		"bytes of another message": fetch(func(_ context.Context, s provider.FetchSink) error {
			return s.Raw("m2", "", strings.NewReader("x"))
		}),
		"bytes twice": fetch(func(_ context.Context, s provider.FetchSink) error {
			return errors.Join(s.Raw("m1", "", strings.NewReader("x")), s.Raw("m1", "", strings.NewReader("x")))
		}),
		"another message failed": fetch(func(_ context.Context, s provider.FetchSink) error {
			return s.Failed("m2", &mail.Error{Kind: mail.KindNotFound})
		}),
		"metadata without an id": fetch(func(_ context.Context, s provider.FetchSink) error { return s.Message(&mail.Message{}) }),
		"a found id that is long": func(*proxy) error {
			_, err := facing(&liar{found: &provider.SearchResponse{IDs: []string{long}}}).Search(t.Context(), &provider.SearchRequest{})
			return err
		},
	} {
		err := do(nil)
		var e *mail.Error
		if !errors.As(err, &e) || e.Kind != mail.KindUnavailable || e.Code != codeBadAnswer || e.Op == "" || len(err.Error()) > 200 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// discard is a sink that wants everything and keeps nothing.
type discard struct{}

func (*discard) Message(*mail.Message) error { return nil }
func (*discard) Failed(string, error) error  { return nil }
func (*discard) Raw(_, _ string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func TestMailboxesInACircleComeApart(t *testing.T) {
	list := []mail.Mailbox{
		{ID: "self", ParentID: "self", Total: -7, Unread: -1 << 40},
		{ID: "a", ParentID: "c"}, {ID: "b", ParentID: "a"}, {ID: "c", ParentID: "b"},
		{ID: "below", ParentID: "a"}, {ID: "top"}, {ID: "orphan", ParentID: "unknown"},
	}
	for i := range 20_000 { // deep, and told from the bottom
		list = append(list, mail.Mailbox{ID: fmt.Sprint("d", i), ParentID: fmt.Sprint("d", i+1)})
	}
	resp, err := facing(&liar{mailboxes: list}).Mailboxes(t.Context(), &provider.MailboxesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	parent := map[string]string{}
	for _, m := range resp.Mailboxes {
		parent[m.ID] = m.ParentID
		if m.Total < -1 || m.Unread < -1 {
			t.Errorf("counts of %s: %d, %d", m.ID, m.Total, m.Unread)
		}
	}
	if parent["below"] != "a" || parent["orphan"] != "unknown" || parent["self"] != "" || parent["d0"] != "d1" {
		t.Errorf("parents %q %q %q", parent["below"], parent["orphan"], parent["self"])
	}
	cut := 0
	for _, id := range []string{"a", "b", "c"} {
		steps := 0
		for at := id; at != ""; at = parent[at] {
			if steps++; steps > 3 {
				t.Fatalf("%s is still below itself", id)
			}
		}
		if parent[id] == "" {
			cut++
		}
	}
	if cut != 1 {
		t.Errorf("the circle is cut %d times", cut)
	}
}

func TestWhatCannotBeIsForgotten(t *testing.T) {
	b := &mail.Batch{Items: []mail.Item{{Message: mail.Message{
		ProviderID: "m", Size: -5, ReceivedAt: time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC), SentAt: time.Date(-3, 1, 1, 0, 0, 0, 0, time.UTC)}}}}
	err := facing(&liar{batches: []*mail.Batch{b}}).Changes(t.Context(), &provider.ChangesRequest{}, func(b *mail.Batch) error {
		if m := b.Items[0].Message; !m.ReceivedAt.IsZero() || !m.SentAt.IsZero() || m.Size != 0 {
			t.Errorf("told %v, %v, %d", m.ReceivedAt, m.SentAt, m.Size)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSilentPluginsAreGivenUp: no call waits for ever, and a stream that goes on
// is not held to a time.
func TestSilentPluginsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := facing(&liar{silent: true}).Mailboxes(t.Context(), &provider.MailboxesRequest{})
		if mail.KindOf(err) != mail.KindUnavailable || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		batches := make([]*mail.Batch, 10)
		for i := range batches {
			batches[i] = &mail.Batch{}
		}
		told := 0
		err = facing(&liar{batches: batches, silent: true}).Changes(t.Context(), &provider.ChangesRequest{}, func(*mail.Batch) error {
			told++
			<-time.After(2 * time.Minute) // the caller's own time does not count
			return nil
		})
		if took := time.Since(began); told != 10 || mail.KindOf(err) != mail.KindUnavailable || !strings.Contains(err.Error(), "silent") || took != 21*time.Minute {
			t.Errorf("%d batches in %s: %v", told, took, err)
		}
	})
}
