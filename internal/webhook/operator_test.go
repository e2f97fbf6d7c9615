package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// told is the body of an event about an endpoint.
type told struct {
	Type string
	Test bool
	Data struct {
		Endpoint, Description, Reason string
		Percent, Failures             int
		DeadLetters                   int64
	}
}

func readTold(t *testing.T, r request) (b told) {
	t.Helper()
	if err := json.Unmarshal(r.body, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOperatorHearsOfEndpoints: one endpoint fails, gathers dead letters and
// recovers; another is told, and the one concerned is not.
func TestOperatorHearsOfEndpoints(t *testing.T) {
	h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
	h.account("a")
	var well atomic.Bool
	sick := receive(t, func(_ int, w http.ResponseWriter, _ request) {
		if !well.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	operator := receive(t, nil)
	e, _ := h.create(Create{URL: sick.URL + "/secret-path", Description: "billing", Attempts: 2})
	h.create(Create{URL: operator.URL, Events: []event.Type{event.EndpointFailing, event.EndpointRecovered, event.EndpointDeadLetters}})
	for range 10 {
		h.journal(updated("a"))
	}
	seen := map[string]told{}
	for len(seen) < 2 {
		r := operator.next(t)
		b := readTold(t, r)
		if b.Data.Endpoint != e.ID || b.Data.Description != "billing" || b.Test || strings.Contains(string(r.body), "secret-path") {
			t.Errorf("%s", r.body)
		}
		seen[b.Type] = b
	}
	if f := seen["endpoint.failing"]; f.Data.Failures == 0 {
		t.Errorf("%+v", f)
	}
	if d := seen["endpoint.dead_letters"]; d.Data.DeadLetters < 1 {
		t.Errorf("%+v", d)
	}
	well.Store(true)
	h.journal(updated("a"))
	for readTold(t, operator.next(t)).Type != "endpoint.recovered" {
	}
	sick.mu.Lock()
	defer sick.mu.Unlock()
	for _, r := range sick.got {
		if strings.Contains(string(r.body), `"type":"endpoint.`) {
			t.Errorf("the endpoint was told of itself: %s", r.body)
		}
	}
}

// TestTransactionOfAChange: an event about an endpoint is there if, and only
// if, the change is.
func TestTransactionOfAChange(t *testing.T) {
	h := buildHouse(t, houseOptions{})
	e, _ := h.create(Create{URL: "https://example.com"})
	undone := errors.New("undone")
	for _, fail := range []error{undone, nil} {
		err := h.store.Update(context.Background(), func(tx store.Tx) error {
			r, err := tx.Endpoint(e.ID)
			if err != nil {
				return err
			}
			if err := h.service.EndpointChanged(tx, r, outbox.Change{Kind: outbox.ChangeFailing, Percent: 70}); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		var found []event.Event
		h.update(func(tx store.Tx) (err error) { found, err = tx.EventsAfter(0, 10); return err })
		if want := map[error]int{undone: 0, nil: 1}[fail]; len(found) != want || want == 1 && (found[0].Percent != 70 || found[0].Endpoint != e.ID) {
			t.Errorf("%v: %+v", fail, found)
		}
	}
	h.update(func(tx store.Tx) error {
		if err := h.service.EndpointChanged(tx, &store.Endpoint{ID: e.ID}, outbox.Change{Kind: "sleepy"}); err == nil {
			t.Error("a change that nobody knows was told as something")
		}
		return nil
	})
}

func TestTestsOfEveryType(t *testing.T) {
	h := newHouse(t, houseOptions{})
	sink := receive(t, nil)
	ctx := context.Background()
	e, secret := h.create(Create{URL: sink.URL, Payload: PayloadFull, Events: []event.Type{event.MailboxCreated}, Description: "mine"})
	other := receive(t, nil)
	h.create(Create{URL: other.URL})
	for _, kind := range event.Types() {
		id, err := h.service.SendTest(ctx, e.ID, kind)
		if err != nil {
			t.Fatal(err)
		}
		r := sink.next(t)
		var body map[string]any
		if err := json.Unmarshal(r.body, &body); err != nil || verify(r, secret) != nil {
			t.Fatalf("%s: %s, %v", kind, r.body, err)
		}
		if body["type"] != string(kind) || (body["test"] == true) != (kind != event.Ping) || body["id"] != r.header.Get("webhook-id") {
			t.Errorf("%s: %s", kind, r.body)
		}
		// It has the members that a real one has.
		want := goldenMembers(t, kind)
		if have := members(body["data"]); !cmp.Equal(want, have) && kind != event.Ping {
			t.Errorf("%s: the sample lacks or adds members of data\n%s", kind, cmp.Diff(want, have))
		}
		for name := range filled(goldenData(t, kind)) {
			if !filled(body["data"])[name] && kind != event.Ping {
				t.Errorf("%s: %s is empty in the sample, and not in a real body: %s", kind, name, r.body)
			}
		}
		d, _, err := h.outbox.Delivery(ctx, id)
		if err != nil || d.Type != string(kind) || d.Endpoint != e.ID {
			t.Errorf("%s: %+v, %v", kind, d, err)
		}
	}
	if other.count() != 0 {
		t.Errorf("another endpoint got %d tests", other.count())
	}
	var journalled []event.Event
	h.update(func(tx store.Tx) (err error) { journalled, err = tx.EventsAfter(0, 100); return err })
	for _, j := range journalled {
		if j.Type != event.Ping {
			t.Errorf("the journal tells a test as %s", j.Type)
		}
	}
	if _, err := h.service.SendTest(ctx, e.ID, "no.type"); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("a test of no type: %v", err)
	}
}

// members are the names that an object has.
func members(v any) map[string]bool {
	out := map[string]bool{}
	m, _ := v.(map[string]any)
	for name := range m {
		switch name {
		case "failingSince", "failures", "description", "reason", "link", "error", "deadLetters", "percent", "state": // where there are any
		default:
			out[name] = true
		}
	}
	return out
}

func TestEndpointIsVerifiedBeforeItIsMade(t *testing.T) {
	ctx := context.Background()
	h := buildHouse(t, houseOptions{})
	sink := receive(t, func(_ int, w http.ResponseWriter, r request) {
		if verify(r, testSecret) != nil {
			http.Error(w, "bad signature", http.StatusUnauthorized)
		}
	})
	h.service.opts.Probe = NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{}).Deliver
	if _, _, err := h.service.CreateEndpoint(ctx, Create{URL: sink.URL, Secret: testSecret, Verify: true}); err != nil {
		t.Error(err)
	}
	if r := sink.next(t); readTold(t, r).Type != "ping" || !readTold(t, r).Test {
		t.Errorf("%s", r.body)
	}
	_, _, err := h.service.CreateEndpoint(ctx, Create{URL: sink.URL, Verify: true})
	if mail.KindOf(err) != mail.KindInvalid || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "bad signature") {
		t.Errorf("%v", err)
	}
	if list, err := h.service.ListEndpoints(ctx); err != nil || len(list) != 1 {
		t.Errorf("%d endpoints, %v", len(list), err)
	}
}

func TestHeadersAndLimitsOfAnEndpoint(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	ctx := context.Background()
	sink := receive(t, nil)
	e, _ := h.create(Create{URL: sink.URL, Headers: []Header{{"Authorization", "Bearer t0psecret"}, {"X-Tenant", "7"}}, InFlight: 3, PerSecond: 100})
	if diff := cmp.Diff([]string{"Authorization", "X-Tenant"}, e.Headers); diff != "" || e.InFlight != 3 || e.PerSecond != 100 {
		t.Errorf("%s, %+v", diff, e)
	}
	h.journal(updated("a"))
	if r := sink.next(t); r.header.Get("Authorization") != "Bearer t0psecret" || r.header.Get("X-Tenant") != "7" {
		t.Errorf("%v", r.header)
	}
	var limits outbox.Limits
	h.update(func(tx store.Tx) error {
		r, err := tx.Endpoint(e.ID)
		limits = Limits(r)
		return err
	})
	if diff := cmp.Diff(outbox.Limits{InFlight: 3, PerSecond: 100}, limits); diff != "" {
		t.Error(diff)
	}
	if _, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Headers: &[]Header{}}); err != nil {
		t.Fatal(err)
	}
	h.journal(updated("a"))
	if r := sink.next(t); r.header.Get("Authorization") != "" {
		t.Errorf("%v", r.header)
	}
	for name, in := range map[string]Create{
		"our signature": {Headers: []Header{{"Webhook-Signature", "x"}}}, "our id": {Headers: []Header{{"WEBHOOK-ID", "x"}}},
		"our own": {Headers: []Header{{"postern-signature", "x"}}}, "framing": {Headers: []Header{{"Content-Length", "1"}}},
		"host": {Headers: []Header{{"Host", "x"}}}, "no name": {Headers: []Header{{"", "x"}}}, "a space": {Headers: []Header{{"X Y", "x"}}},
		"a line break": {Headers: []Header{{"X", "t0psecret\r\nY: z"}}}, "twice": {Headers: []Header{{"x-a", "1"}, {"X-A", "2"}}},
		"too many": {Headers: make([]Header, 21)}, "a long value": {Headers: []Header{{"X", long('a', 5000)}}},
		"in flight": {InFlight: 1000}, "below zero": {InFlight: -1}, "per second": {PerSecond: -0.5}, "no key": {ClientCertificate: "x"}, "no pair": {ClientCertificate: "x", ClientKey: "t0psecret"},
	} {
		in.URL = sink.URL
		if _, _, err := h.service.CreateEndpoint(ctx, in); mail.KindOf(err) != mail.KindInvalid || strings.Contains(err.Error(), "t0psecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.stop() // the log is quiet now
	if strings.Contains(h.log.String(), "t0psecret") {
		t.Error("the log has a header's value")
	}
}

// pair makes a certificate of its own.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postern"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestClientCertificate(t *testing.T) {
	var shown atomic.Pointer[string]
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		shown.Store(&name)
	}))
	sink.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	sink.Config.ErrorLog = quiet()
	sink.StartTLS()
	defer sink.Close()
	roots := x509.NewCertPool()
	roots.AddCert(sink.Certificate())
	h := buildHouse(t, houseOptions{})
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{Roots: roots})
	e, _ := h.create(Create{URL: sink.URL})
	deliver := func() outbox.Outcome {
		var r *store.Endpoint
		h.update(func(tx store.Tx) (err error) { r, err = tx.Endpoint(e.ID); return err })
		return c.Deliver(context.Background(), r, delivery(), testBody)
	}
	if out := deliver(); out.OK {
		t.Errorf("without a certificate: %+v", out)
	}
	certificate, key := pair(t)
	if _, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, ClientCertificate: &certificate, ClientKey: &key}); err != nil {
		t.Fatal(err)
	}
	out := deliver()
	if name := shown.Load(); !out.OK || name == nil || *name != "postern" {
		t.Errorf("with a certificate: %+v", out)
	}
	if out.TLS <= 0 || out.Connect <= 0 || out.FirstByte <= 0 || out.DNS != 0 || out.Duration < out.TLS {
		t.Errorf("the parts of the attempt: %+v", out)
	}
}

func TestReplayIsNamed(t *testing.T) {
	sink := receive(t, nil)
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{})
	d := delivery()
	for _, job := range []string{"", "rp_1"} {
		d.Replay = job
		c.Deliver(context.Background(), record(t, sink.URL), d, testBody)
		if r := sink.next(t); r.header.Get("webhook-replay") != job || len(r.header.Values("webhook-replay")) > 1 {
			t.Errorf("job %q: %v", job, r.header)
		}
	}
}

func TestAttemptIsToldInFull(t *testing.T) {
	sink := receive(t, func(_ int, w http.ResponseWriter, _ request) {
		w.Header().Set("X-Request-Id", "r-17")
		w.Header().Set("Set-Cookie", "session=t0psecret")
		w.Header().Set("Server", long('s', 1000))
		w.WriteHeader(http.StatusTeapot)
		w.Write([]byte(long('x', 10_000)))
	})
	_, port, _ := net.SplitHostPort(sink.Listener.Addr().String())
	k := signingKey{Secret: testSecret}
	if err := k.decode(); err != nil {
		t.Fatal(err)
	}
	out := deliver(t, CarrierOptions{}, "http://localhost:"+port)
	header := strings.Join(out.Header, "\n")
	if out.Class != outbox.Class4xx || out.Peer == "" || out.DNS <= 0 || out.Connect <= 0 || out.FirstByte <= 0 || out.TLS != 0 ||
		len(out.Answer) != maxKept || !cmp.Equal(out.Keys, []string{k.id}) || strings.Contains(testSecret, out.Keys[0]) {
		t.Errorf("%+v", out)
	}
	if !strings.Contains(header, "X-Request-Id: r-17") || strings.Contains(header, "t0psecret") || len(header) > maxKeptHeader+100 {
		t.Errorf("kept of the header: %s", header)
	}
}

// goldenMembers are the names that the data of a type has in testdata/bodies.
func goldenMembers(t *testing.T, kind event.Type) map[string]bool {
	t.Helper()
	return members(goldenData(t, kind))
}

// filled are the names whose values say something.
func filled(data any) map[string]bool {
	names := map[string]bool{}
	object, _ := data.(map[string]any)
	for name, v := range object {
		switch v := v.(type) {
		case nil:
		case string:
			names[name] = v != ""
		case []any:
			names[name] = len(v) > 0
		default:
			names[name] = true
		}
		if !names[name] {
			delete(names, name)
		}
	}
	return names
}

func goldenData(t *testing.T, kind event.Type) any {
	t.Helper()
	for _, rendition := range []string{"full", "thin"} {
		raw, err := os.ReadFile(filepath.Join("testdata", "bodies", string(kind)+"."+rendition+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var body struct{ Data any }
		if err != nil || json.Unmarshal(raw, &body) != nil {
			t.Fatal(err)
		}
		return body.Data
	}
	t.Fatalf("%s has no golden body", kind)
	return nil
}
