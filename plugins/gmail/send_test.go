package gmail_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	sandboxgmail "github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/gmail"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// letter is a message to be sent, with a Message-ID of its own.
func letter(from, to, subject string) []byte {
	return []byte("From: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject +
		"@gmail.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nAbout " + subject + ".\r\n")
}

func messageID(raw []byte) string {
	_, rest, _ := strings.Cut(string(raw), "Message-ID: <")
	id, _, _ := strings.Cut(rest, ">")
	return id
}

func (w *world) prepareRequest(raw []byte, recipients ...string) *provider.PrepareRequest {
	return &provider.PrepareRequest{
		Call: w.call(), OperationID: "op-of-" + messageID(raw), MessageID: messageID(raw), Size: int64(len(raw)),
		Envelope: provider.Envelope{From: alan, Recipients: recipients},
	}
}

func (w *world) prepare(raw []byte, recipients ...string) provider.Prepared {
	w.t.Helper()
	resp, err := w.p.Prepare(w.t.Context(), w.prepareRequest(raw, recipients...), bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Prepared
}

func (w *world) send(p provider.Prepared) (*provider.SendResponse, error) {
	return w.p.Send(w.t.Context(), &provider.SendRequest{Call: w.call(), Prepared: p})
}

func (w *world) probe(p provider.Prepared) *provider.ProbeResponse {
	w.t.Helper()
	resp, err := w.p.Probe(w.t.Context(), &provider.ProbeRequest{Call: w.call(), Prepared: p})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// in gives the messages of a mailbox, as the sandbox has them.
func (w *world) in(address, mailbox string) []string {
	w.t.Helper()
	var out []string
	for id, m := range w.truth(address) {
		for _, in := range m.Mailboxes {
			if in == mailbox {
				out = append(out, id)
			}
		}
	}
	return out
}

// arrived waits until so many messages have come to somebody, and gives them.
func (w *world) arrived(address string, n int) []string {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		if got := w.in(address, "INBOX"); len(got) >= n || time.Now().After(deadline) {
			if len(got) != n {
				w.t.Fatalf("%d messages came to %s, want %d", len(got), address, n)
			}
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

// another is a provider of another process, which remembers nothing.
func (w *world) another() {
	w.t.Helper()
	grant, _ := w.host.Grant(w.account)
	p := gmail.New(gmail.Options{Now: w.clock.Now})
	if _, err := p.Configure(w.t.Context(), w.conf); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Session(ctx, &w.host) }()
	w.t.Cleanup(func() { cancel(); <-ended })
	if err := p.Open(w.t.Context(), &provider.OpenRequest{Account: w.account, Address: alan, Grant: grant}); err != nil {
		w.t.Fatal(err)
	}
	w.p = p
}

// TestSendBlind: who is in the envelope alone gets the message, and nobody reads
// of it; who is in the header alone gets nothing.
func TestSendBlind(t *testing.T) {
	const hugh = "hugh@gmail.example"
	w := connected(t)
	if _, err := w.sandbox.Google().AddUser(hugh, "Hugh"); err != nil {
		t.Fatal(err)
	}
	raw := bytes.Replace(letter(alan, joan, "blind"), []byte("\r\nSubject:"), []byte(",\r\n <nobody@gmail.example>\r\nSubject:"), 1)
	if _, err := w.send(w.prepare(raw, joan, hugh)); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{joan, hugh} {
		id := w.arrived(who, 1)[0]
		w.account = w.connect(who)
		got := string(w.fetch(provider.FetchRaw, id).Raws[id])
		m := w.fetch(provider.FetchMetadata, id).Messages[id]
		if len(m.To) != 1 || m.To[0].Email != joan || len(m.Bcc) != 0 || strings.Contains(strings.ToLower(got), "\nbcc:") || strings.Contains(got, "nobody@") || who == joan && strings.Contains(got, hugh) {
			t.Errorf("%s reads:\n%s", who, got)
		}
	}
}

// TestSendMessageID: Gmail may replace a Message-ID. What was prepared and sent
// tells the one that it has come to, and the outcome is found by either.
func TestSendMessageID(t *testing.T) {
	for _, policy := range []sandboxgmail.MessageIDPolicy{sandboxgmail.MessageIDsAcceptable, sandboxgmail.MessageIDsReplaced, sandboxgmail.MessageIDsKept} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.MessageIDs = policy })
			raw := letter(alan, joan, "named")
			p := w.prepare(raw, joan)
			// The draft is known by what it was to have: the core hides it by that.
			if m := w.fetch(provider.FetchMetadata, p.ProviderID).Messages[p.ProviderID]; m.MessageID != messageID(raw) {
				t.Errorf("the draft is known as %q, not %q", m.MessageID, messageID(raw))
			}
			if replaced := policy == sandboxgmail.MessageIDsReplaced; replaced != (p.MessageID != "") || p.MessageID == messageID(raw) {
				t.Errorf("prepared with Message-ID %q", p.MessageID)
			}
			w.fault(traffic.Fault{Match: "/drafts/send", CutAfter: true, Times: 1})
			_, err := w.send(p)
			wantErr(t, "a send whose answer is lost", err, mail.KindOutcomeUnknown)
			for _, process := range []string{"the same", "another"} {
				got := w.probe(p)
				sent := w.in(alan, "SENT")
				if got.Outcome != provider.OutcomeSent || len(sent) != 1 || got.ProviderID != sent[0] {
					t.Fatalf("%s process: probe says %+v, sent are %v", process, got, sent)
				}
				m := w.fetch(provider.FetchMetadata, sent[0]).Messages[sent[0]]
				if got.MessageID != m.MessageID || p.MessageID != "" && p.MessageID != m.MessageID {
					t.Errorf("Message-ID %q was told, %q was prepared, %q was sent", got.MessageID, p.MessageID, m.MessageID)
				}
				w.another()
			}
			// Sending again sends nothing, and says what came of it.
			again, err := w.send(p)
			if err != nil || again.ProviderID != w.in(alan, "SENT")[0] {
				t.Errorf("sent again: %+v, %v", again, err)
			}
			w.arrived(joan, 1)
			// The history is gone: the search finds what it can.
			if err := w.sandbox.Google().ForgetCursors(alan); err != nil {
				t.Fatal(err)
			}
			if got := w.probe(p); got.Outcome != provider.OutcomeSent {
				t.Errorf("without a history probe says %+v", got)
			}
		})
	}
}

// TestProbeGone: a draft that somebody has deleted was not sent, where Gmail's
// history tells so, and nobody knows where it does not.
func TestProbeGone(t *testing.T) {
	w := connected(t)
	raw := letter(alan, joan, "gone")
	p := w.prepare(raw, joan)
	if got := w.probe(p); got.Outcome != provider.OutcomeNotSent {
		t.Errorf("a draft that is there: %+v", got)
	}
	if err := w.sandbox.Google().Delete(alan, p.ProviderID); err != nil {
		t.Fatal(err)
	}
	if got := w.probe(p); got.Outcome != provider.OutcomeNotSent {
		t.Errorf("a draft that was deleted: %+v", got)
	}
	_, err := w.send(p)
	wantErr(t, "sending it", err, mail.KindNotFound)
	if err := w.sandbox.Google().ForgetCursors(alan); err != nil {
		t.Fatal(err)
	}
	if got := w.probe(p); got.Outcome != provider.OutcomeUnknown {
		t.Errorf("without a history: %+v", got)
	}
	_, err = w.send(p)
	wantErr(t, "sending it without a history", err, mail.KindOutcomeUnknown)
	if got := w.in(joan, "INBOX"); len(got) != 0 {
		t.Errorf("%v came", got)
	}
}

// TestProbeSameID: what was sent before under the same Message-ID proves
// nothing of a draft that is gone.
func TestProbeSameID(t *testing.T) {
	w := connected(t)
	raw := letter(alan, joan, "twice")
	if _, err := w.send(w.prepare(raw, joan)); err != nil {
		t.Fatal(err)
	}
	req := w.prepareRequest(raw, joan)
	req.OperationID = "another"
	resp, err := w.p.Prepare(t.Context(), req, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sandbox.Google().Delete(alan, resp.Prepared.ProviderID); err != nil {
		t.Fatal(err)
	}
	if got := w.probe(resp.Prepared); got.Outcome == provider.OutcomeSent {
		t.Errorf("probe says %+v", got)
	}
}

// TestPrepareAgain: a draft whose answer was lost, or that a process before this
// one has made, is found and not made twice.
func TestPrepareAgain(t *testing.T) {
	w := connected(t)
	raw := letter(alan, joan, "again")
	w.fault(traffic.Fault{Match: "POST /gmail/v1/users/me/drafts", CutAfter: true, Times: 1})
	w.fault(traffic.Fault{Match: "/upload/gmail/v1/users/me/drafts", CutAfter: true, Times: 1})
	first := w.prepare(raw, joan)
	if again := w.prepare(raw, joan); again.ProviderID != first.ProviderID {
		t.Errorf("prepared %s, and %s", first.ProviderID, again.ProviderID)
	}
	w.another()
	if again := w.prepare(raw, joan); again.ProviderID != first.ProviderID {
		t.Errorf("another process prepared %s, and %s", first.ProviderID, again.ProviderID)
	}
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 1 {
		t.Errorf("drafts are %v", drafts)
	}
	// The owner's own of the same Message-ID, which says something else, stays.
	w.another()
	other := bytes.Replace(raw, []byte("About again"), []byte("About something else"), 1)
	if again := w.prepare(other, joan); again.ProviderID == first.ProviderID {
		t.Error("a draft that says something else was taken")
	}
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 2 {
		t.Errorf("drafts are %v", drafts)
	}
}

// TestPrepareLostHistory: a draft whose answer was lost is found without a
// history, too.
func TestPrepareLostHistory(t *testing.T) {
	w := connected(t)
	raw := letter(alan, joan, "lost")
	w.fault(traffic.Fault{Match: "/upload/gmail/v1/users/me/drafts", CutAfter: true, Times: 1})
	w.fault(traffic.Fault{Match: "/history", Status: http.StatusNotFound, Times: 2})
	_, err := w.p.Prepare(t.Context(), w.prepareRequest(raw, joan), bytes.NewReader(raw))
	wantErr(t, "the first call", err, mail.KindUnavailable)
	p := w.prepare(raw, joan)
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 1 || drafts[0] != p.ProviderID {
		t.Errorf("drafts are %v, prepared is %s", drafts, p.ProviderID)
	}
}

// TestPrepareInTheWay: a Message-ID that begins with the operation is nobody
// else's, and what is left of that, and says something else, goes.
func TestPrepareInTheWay(t *testing.T) {
	w := connected(t)
	raw := bytes.ReplaceAll(letter(alan, joan, "op1"), []byte("<op1@"), []byte("<sop1@"))
	req := w.prepareRequest(raw, joan)
	req.OperationID = "sop1"
	first, err := w.p.Prepare(t.Context(), req, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	w.another()
	other := bytes.Replace(raw, []byte("About"), []byte("Not about"), 1)
	req.Size = int64(len(other))
	second, err := w.p.Prepare(t.Context(), req, bytes.NewReader(other))
	if err != nil {
		t.Fatal(err)
	}
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 1 || drafts[0] != second.Prepared.ProviderID || drafts[0] == first.Prepared.ProviderID {
		t.Errorf("drafts are %v, of %s and %s", drafts, first.Prepared.ProviderID, second.Prepared.ProviderID)
	}
}

// TestSendAs: mail leaves from the account's address and its aliases, and from
// no other, which Gmail would put its own in the place of.
func TestSendAs(t *testing.T) {
	const alias = "turing@bletchley.example"
	w := connected(t)
	if err := w.sandbox.Google().Gmail().AddAlias(alan, alias, "A. M. Turing"); err != nil {
		t.Fatal(err)
	}
	resp, err := w.p.Identities(t.Context(), &provider.IdentitiesRequest{Call: w.call()})
	if err != nil || resp.Partial || len(resp.Identities) != 2 || resp.Identities[0].Email != alan || !resp.Identities[0].Default ||
		resp.Identities[1].Email != alias || resp.Identities[1].Name != "A. M. Turing" || resp.Identities[1].Default {
		t.Errorf("identities %+v, %v", resp, err)
	}
	for i, from := range []string{alan, alias} {
		p := w.prepare(letter(from, joan, fmt.Sprintf("as-%d", i)), joan)
		if _, err := w.send(p); err != nil {
			t.Fatal(err)
		}
	}
	w.arrived(joan, 2)
	for _, id := range w.in(alan, "SENT") {
		m := w.fetch(provider.FetchMetadata, id).Messages[id]
		if want := map[string]string{"as-0": alan, "as-1": alias}[m.Subject]; len(m.From) != 1 || m.From[0].Email != want {
			t.Errorf("%s left from %v, want %s", m.Subject, m.From, want)
		}
	}
	for name, raw := range map[string][]byte{
		"somebody else": letter(joan, joan, "as-other"),
		"two at once":   bytes.Replace(letter(alan, joan, "as-both"), []byte("From: "), []byte("From: <"+alias+">, "), 1),
		"unreadable":    bytes.Replace(letter(alan, joan, "as-none"), []byte("From: <"), []byte("From: <<<"), 1),
	} {
		_, err := w.p.Prepare(t.Context(), w.prepareRequest(raw, joan), bytes.NewReader(raw))
		if k := mail.KindOf(err); k != mail.KindForbidden && k != mail.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 0 {
		t.Errorf("drafts are left: %v", drafts)
	}
}

// TestSendThread: an answer joins the thread that it answers, also where that is
// all the provider knows of it.
func TestSendThread(t *testing.T) {
	w := connected(t)
	id := w.deliver(alan, "talk")
	parent := w.fetch(provider.FetchMetadata, id).Messages[id]
	raw := bytes.Replace(letter(alan, joan, "reply"), []byte("Subject: reply\r\n"),
		[]byte("Subject: Re: talk\r\nIn-Reply-To: <"+parent.MessageID+">\r\nReferences: <"+parent.MessageID+">\r\n"), 1)
	req := w.prepareRequest(raw, joan)
	req.InReplyTo, req.ThreadID = id, parent.ProviderThreadID
	resp, err := w.p.Prepare(t.Context(), req, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := w.send(resp.Prepared)
	if err != nil {
		t.Fatal(err)
	}
	if m := w.fetch(provider.FetchMetadata, sent.ProviderID).Messages[sent.ProviderID]; m.ProviderThreadID != parent.ProviderThreadID || m.MessageID != sent.MessageID {
		t.Errorf("the answer is in thread %s under %s, want %s", m.ProviderThreadID, m.MessageID, parent.ProviderThreadID)
	}
	// A thread that is gone is no reason not to answer.
	gone := letter(alan, joan, "late")
	req = w.prepareRequest(gone, joan)
	req.ThreadID = "00000000deadbeef"
	if resp, err = w.p.Prepare(t.Context(), req, bytes.NewReader(gone)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.send(resp.Prepared); err != nil {
		t.Fatal(err)
	}
}

// TestSendRefused: what Gmail refuses stays a draft, and was not sent.
func TestSendRefused(t *testing.T) {
	w := connected(t)
	p := w.prepare(letter(alan, joan, "refused"), joan)
	w.fault(traffic.Fault{Match: "/drafts/send", Status: http.StatusInternalServerError, Times: 1})
	_, err := w.send(p)
	wantErr(t, "a server that stumbled", err, mail.KindOutcomeUnknown)
	if got := w.probe(p); got.Outcome != provider.OutcomeNotSent {
		t.Errorf("probe says %+v", got)
	}
	if _, err := w.send(p); err != nil {
		t.Fatal(err)
	}
	w.arrived(joan, 1)
	p = w.prepare(letter(alan, joan, "over the cap"), joan)
	w.fault(traffic.Fault{Match: "/drafts/send", Status: http.StatusTooManyRequests, RetryAfter: 3600})
	_, err = w.send(p)
	wantErr(t, "over the cap of a day", err, mail.KindThrottled)
	if mail.RetryAfter(err) < 3000*time.Second {
		t.Errorf("come back after %v", mail.RetryAfter(err))
	}
	if got := w.in(alan, "DRAFT"); len(got) != 1 {
		t.Errorf("drafts are %v", got)
	}
	// That is about sending: mail is read all the same.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.p.Mailboxes(ctx, &provider.MailboxesRequest{Call: w.call()}); err != nil {
		t.Error("reading, over the cap:", err)
	}
	// And sending waits for nothing: it is said at once when to come back.
	_, err = w.p.Send(ctx, &provider.SendRequest{Call: w.call(), Prepared: p})
	if wantErr(t, "sending again", err, mail.KindThrottled); mail.RetryAfter(err) < 3000*time.Second {
		t.Errorf("come back after %v", mail.RetryAfter(err))
	}
}

// TestLostWhileHistoryLags: what was stored without an answer is not stored
// again because the history does not show it yet.
func TestLostWhileHistoryLags(t *testing.T) {
	w := connected(t)
	w.sandbox.Google().SetDeltaLag(400 * time.Millisecond)
	raw := letter(alan, joan, "late")
	w.fault(traffic.Fault{Match: "/upload/gmail/v1/users/me/drafts", CutAfter: true, Times: 1})
	if _, err := w.p.Prepare(t.Context(), w.prepareRequest(raw, joan), bytes.NewReader(raw)); err != nil {
		wantErr(t, "prepare", err, mail.KindUnavailable)
	}
	p := w.prepare(raw, joan)
	if drafts := w.in(alan, "DRAFT"); len(drafts) != 1 || drafts[0] != p.ProviderID {
		t.Errorf("drafts are %v, prepared is %s", drafts, p.ProviderID)
	}
	raw = letter(joan, alan, "late too")
	w.fault(traffic.Fault{Match: uploads, CutAfter: true, Times: 1})
	if _, err := w.appendTo("INBOX", "late", raw); err != nil {
		wantErr(t, "append", err, mail.KindOutcomeUnknown)
	}
	m := w.mustAppend("INBOX", "late", raw)
	if in := w.in(alan, "INBOX"); len(in) != 1 || in[0] != m.ProviderID {
		t.Errorf("the inbox holds %v, stored is %s", in, m.ProviderID)
	}
}
