package outlook_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// keywordsOf is a feed's keywords by message; every item must tell all of them.
func (w *world) keywordsOf(items []mail.Item) map[string][]string {
	w.t.Helper()
	out := map[string][]string{}
	for _, it := range items {
		if it.Fields&mail.FieldKeywords == 0 {
			w.t.Errorf("keywords are not told: %+v", it)
		}
		out[it.Message.ProviderID] = it.Message.Keywords
	}
	return out
}

// deliverActedUpon gives three messages: unread, answered, and forwarded.
func (w *world) deliverActedUpon() map[string][]string {
	w.t.Helper()
	want := map[string][]string{}
	for subject, keywords := range map[string][]string{
		"plain": nil, "answered": {mail.Answered, mail.Seen}, "forwarded": {mail.Flagged, mail.Forwarded},
	} {
		id := w.deliver(ada, subject, func(d *cloud.Delivery) { d.Keywords = keywords })
		want[id] = keywords
	}
	return want
}

func TestLastVerbIsRead(t *testing.T) {
	w := connected(t)
	inbox := w.mailboxes()[mail.RoleInbox].ID
	want := w.deliverActedUpon()
	items, cur := w.mustChanges(inbox, nil)
	if diff := cmp.Diff(want, w.keywordsOf(items)); diff != "" {
		t.Errorf("feed: %s", diff)
	}
	ids := slices.Collect(maps.Keys(want))
	fetched := map[string][]string{}
	for id, m := range w.fetch(ids...) {
		fetched[id] = m.Keywords
	}
	if diff := cmp.Diff(want, fetched); diff != "" {
		t.Errorf("fetch: %s", diff)
	}
	listed := map[string][]string{}
	err := w.p.Enumerate(t.Context(), &provider.EnumerateRequest{Call: w.call(), Mailbox: inbox}, func(b *provider.EnumerateBatch) error {
		for _, m := range b.Messages {
			listed[m.ProviderID] = m.Keywords
		}
		return nil
	})
	if diff := cmp.Diff(want, listed); err != nil || diff != "" {
		t.Errorf("list: %v %s", err, diff)
	}
	// The feed tells the next change too, as its token remembers what to expand.
	w.modify(&provider.ModifyRequest{IDs: ids, AddKeywords: []string{mail.Forwarded}, RemoveKeywords: []string{mail.Seen, mail.Flagged}})
	items, _ = w.mustChanges(inbox, cur)
	for id := range want {
		want[id] = []string{mail.Forwarded}
	}
	if diff := cmp.Diff(want, w.keywordsOf(items)); diff != "" {
		t.Errorf("feed of the change: %s", diff)
	}
}

func TestLastVerbIsWritten(t *testing.T) {
	w := connected(t)
	id := w.deliver(ada, "m")
	both := []string{mail.Answered, mail.Forwarded}
	for _, step := range []struct{ add, remove, want []string }{
		{add: []string{mail.Answered}, want: []string{mail.Answered}},
		{add: []string{mail.Seen}, want: []string{mail.Answered, mail.Seen}},
		{remove: []string{mail.Forwarded}, want: []string{mail.Answered, mail.Seen}},
		{add: []string{"$Forwarded", "red"}, remove: []string{mail.Seen}, want: []string{mail.Forwarded, "red"}},
		{remove: []string{mail.Answered}, want: []string{mail.Forwarded, "red"}},
		{add: []string{mail.Answered}, remove: []string{mail.Forwarded}, want: []string{mail.Answered, "red"}},
		{remove: both, want: []string{"red"}},
		{add: both, want: []string{mail.Answered, "red"}},
		{add: both, want: []string{mail.Answered, "red"}},
		{remove: []string{mail.Answered, "red"}},
	} {
		r := w.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: step.add, RemoveKeywords: step.remove})[0]
		if r.Err != nil || r.Fields&mail.FieldKeywords == 0 {
			t.Fatalf("+%v -%v: %+v", step.add, step.remove, r)
		}
		truth := w.truth(ada)[id].Keywords
		slices.Sort(truth)
		for what, got := range map[string][]string{"result": r.Message.Keywords, "fetch": w.fetch(id)[id].Keywords, "truth": truth} {
			if !slices.Equal(step.want, got) {
				t.Errorf("+%v -%v: %s has %v, want %v", step.add, step.remove, what, got, step.want)
			}
		}
	}
}

func TestLastVerbOfAMove(t *testing.T) {
	w := connected(t)
	box := w.createMailbox("", "Box").ID
	id := w.deliver(ada, "m", func(d *cloud.Delivery) { d.Keywords = []string{mail.Forwarded} })
	r := w.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: []string{mail.Seen}, AddMailboxes: []string{box}})[0]
	if want := []string{mail.Forwarded, mail.Seen}; r.Err != nil || r.Fields&mail.FieldKeywords == 0 || !slices.Equal(r.Message.Keywords, want) || !slices.Equal(r.Message.Mailboxes, []string{box}) {
		t.Errorf("%+v", r)
	}
}

// between puts a Graph in front of the sandbox's that treats the first request
// of a delta as edit says: with another query, or with a status in place of an
// answer. It counts the batches.
func (w *world) between(edit func(q url.Values) (status int)) *atomic.Int64 {
	w.t.Helper()
	target, err := url.Parse(w.conf.Settings["graph_url"])
	if err != nil {
		w.t.Fatal(err)
	}
	var batches atomic.Int64
	transport := &http.Transport{TLSClientConfig: w.sandbox.TLS(), DisableCompression: true}
	srv := httptest.NewUnstartedServer(nil)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host})
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(resp *http.Response) error {
			data, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			// Links lead back here.
			data = bytes.ReplaceAll(data, []byte(target.Scheme+"://"+target.Host), []byte(srv.URL))
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
			resp.Header.Set("Content-Length", strconv.Itoa(len(data)))
			return nil
		},
	}
	srv.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/$batch") {
			batches.Add(1)
		}
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/messages/delta") && !q.Has("$deltatoken") && !q.Has("$skiptoken") {
			if status := edit(q); status != 0 {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, `{"error":{"code":"ErrorInvalidRequest","message":"not here"}}`)
				return
			}
			r.URL.RawQuery = q.Encode()
		}
		proxy.ServeHTTP(rw, r)
	})
	srv.StartTLS()
	w.t.Cleanup(srv.Close)
	w.t.Cleanup(transport.CloseIdleConnections)
	ca, err := os.OpenFile(w.conf.Settings["ca_file"], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer ca.Close()
	if err := pem.Encode(ca, &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}); err != nil {
		w.t.Fatal(err)
	}
	w.conf.Settings["graph_url"] = srv.URL + target.Path
	w.configure()
	return &batches
}

// TestDeltaThatExpandsNothing: a Graph that refuses to expand properties in a
// delta, or acts as if it had not heard, is asked for them message by message;
// one that refuses something else is not.
func TestDeltaThatExpandsNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		edit    func(url.Values) int
		batches bool
	}{
		{name: "willing", edit: func(url.Values) int { return 0 }},
		{name: "refuses", batches: true, edit: func(q url.Values) int {
			if q.Has("$expand") {
				return http.StatusBadRequest
			}
			return 0
		}},
		{name: "fails", batches: true, edit: func(q url.Values) int {
			if q.Has("$expand") {
				return http.StatusNotImplemented
			}
			return 0
		}},
		{name: "ignores", batches: true, edit: func(q url.Values) int { q.Del("$expand"); return 0 }},
		{name: "refuses the order", edit: func(q url.Values) int {
			if q.Has("$orderby") {
				return http.StatusBadRequest
			}
			return 0
		}},
		{name: "refuses both", batches: true, edit: func(q url.Values) int {
			if q.Has("$orderby") || q.Has("$expand") {
				return http.StatusBadRequest
			}
			return 0
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := connected(t)
			batches := w.between(tc.edit)
			inbox := w.mailboxes()[mail.RoleInbox].ID
			want := w.deliverActedUpon()
			before := batches.Load()
			items, cur := w.mustChanges(inbox, nil)
			if diff := cmp.Diff(want, w.keywordsOf(items)); diff != "" {
				t.Errorf("first round: %s", diff)
			}
			if asked := batches.Load() > before; asked != tc.batches {
				t.Errorf("asked message by message: %v, want %v", asked, tc.batches)
			}
			id := w.deliver(ada, "late", func(d *cloud.Delivery) { d.Keywords = []string{mail.Answered} })
			items, _ = w.mustChanges(inbox, cur)
			if diff := cmp.Diff([]string{mail.Answered}, w.keywordsOf(items)[id]); diff != "" {
				t.Errorf("second round: %s", diff)
			}
		})
	}
}
