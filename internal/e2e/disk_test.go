package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDiskNearlyFull: below disk.min_free no new mail is pulled, /readyz says
// why, and new messages to send are refused; delivering, reading and sending
// what was taken on before go on. With room again everything comes, once.
func TestDiskNearlyFull(t *testing.T) {
	d := startDemo(t)
	g, _, s := d.own(t, func(_ string, s settings) { s.section("providers", "outlook")["push"] = false })
	account := g.join(ada)
	r := g.receive(nil)
	endpoint, _ := g.endpoint(map[string]any{"url": r.URL})
	ofType := func(kind string) func(*hook) bool { return func(h *hook) bool { return h.Body.Type == kind } }
	if g.metric("postern_sync_held") != 0 || g.metric("postern_disk_free_bytes") <= 0 {
		t.Error("the metrics say nothing of the disk")
	}
	submit := func(at string) []gqlError {
		return g.try(`mutation($a: ID!, $at: Time) { submitMessage(input: {account: $a, to: ["`+grace+`"], subject: "taken on", text: "x", sendAt: $at}) { id } }`,
			map[string]any{"a": account, "at": at}, nil)
	}
	if errs := submit(time.Now().Add(10 * time.Second).UTC().Format(time.RFC3339Nano)); len(errs) > 0 {
		t.Fatal(errs)
	}

	s.section("disk")["min_free"] = int64(1) << 60
	g.reload(s)
	g.eventually("the gateway is not ready", func() bool {
		status, body := g.fetch("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "disk") && strings.Contains(body, "bytes are free")
	})
	if status, _ := g.fetch("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d: the process is to be left alive", status)
	}
	if g.metric("postern_sync_held") != 1 {
		t.Error("the metric does not say that pulling rests")
	}
	d.deliver(ada, "waits outside")
	for what, errs := range map[string][]gqlError{
		"syncAccount":   g.try(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": account}, nil),
		"submitMessage": submit(time.Now().UTC().Format(time.RFC3339)),
		"saveDraft":     g.try(`mutation($a: ID!) { saveDraft(input: {account: $a, subject: "x", text: "x"}) { id } }`, map[string]any{"a": account}, nil),
	} {
		if len(errs) != 1 || errs[0].Extensions.Code != "UNAVAILABLE" || !strings.Contains(errs[0].Message, "disk") {
			t.Errorf("%s: %+v, want UNAVAILABLE and why", what, errs)
		}
	}
	if g.subjects(account)["waits outside"] != "" {
		t.Error("it was pulled")
	}
	// Delivering goes on, sending what was taken on, and reading.
	g.query(`mutation($e: ID!) { sendTestEvent(id: $e) { id } }`, map[string]any{"e": endpoint}, nil)
	r.wait("a test event while the disk is full", 1, ofType("ping"))
	r.wait("the message that was taken on is sent", 1, ofType("submission.sent"))
	read := false
	for _, id := range g.subjects(account) {
		if read = g.text(id) != ""; read {
			break
		}
	}
	if !read {
		t.Error("no message can be read")
	}
	if n := r.count(ofType("message.created")); n != 0 {
		t.Errorf("%d messages were told while nothing was to be pulled", n)
	}

	s.section("disk")["min_free"] = 1
	g.reload(s)
	r.wait("what waited is told", 1, func(h *hook) bool { return h.Body.Data.Envelope.Subject == "waits outside" })
	g.eventually("the gateway is ready", func() bool { status, _ := g.fetch("/readyz"); return status == http.StatusOK })
	g.query(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": account}, nil)
	if n := r.count(func(h *hook) bool { return h.Body.Data.Envelope.Subject == "waits outside" }); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	if g.metric("postern_sync_held") != 0 {
		t.Error("the metric says that pulling still rests")
	}
}
