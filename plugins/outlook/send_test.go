package outlook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	stdmail "net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const outgoing = "From: Ada Lovelace <" + ada + ">\r\nTo: Grace <" + grace + ">\r\nSubject: Notes\r\nMessage-ID: <notes@contoso.example>\r\n" +
	"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe engine weaves.\r\n"

func (w *world) prepare(op, raw string, rcpts ...string) (provider.Prepared, error) {
	id := ""
	if m, err := stdmail.ReadMessage(strings.NewReader(raw)); err == nil {
		id = strings.Trim(m.Header.Get("Message-ID"), "<>")
	}
	resp, err := w.p.Prepare(w.t.Context(), &provider.PrepareRequest{
		Call: w.call(), OperationID: op, MessageID: id, Size: int64(len(raw)),
		Envelope: provider.Envelope{From: ada, Recipients: rcpts},
	}, strings.NewReader(raw))
	if err != nil {
		return provider.Prepared{}, err
	}
	return resp.Prepared, nil
}

func (w *world) mustPrepare(op, raw string, rcpts ...string) provider.Prepared {
	w.t.Helper()
	p, err := w.prepare(op, raw, rcpts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) send(op string, p provider.Prepared) (*provider.SendResponse, error) {
	return w.p.Send(w.t.Context(), &provider.SendRequest{Call: w.call(), OperationID: op, Prepared: p})
}

func (w *world) probe(op string, p provider.Prepared) *provider.ProbeResponse {
	w.t.Helper()
	resp, err := w.p.Probe(w.t.Context(), &provider.ProbeRequest{Call: w.call(), OperationID: op, Prepared: p})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// in gives the messages of a user in the mailbox of a role of ada's, or all
// of another user's.
func (w *world) in(role mail.Role) []cloud.MessageInfo {
	w.t.Helper()
	box := w.mailboxes()[role].ID
	var out []cloud.MessageInfo
	for _, m := range w.truth(ada) {
		if slices.Contains(m.Mailboxes, box) {
			out = append(out, m)
		}
	}
	return out
}

func TestSend(t *testing.T) {
	w := connected(t)
	prep := w.mustPrepare("op-1", outgoing, grace)
	if prep.ProviderID == "" || prep.MessageID != "notes@contoso.example" {
		t.Errorf("prepared %+v", prep)
	}
	if p := w.probe("op-1", prep); p.Outcome != provider.OutcomeNotSent {
		t.Errorf("before: %+v", p)
	}
	resp, err := w.send("op-1", prep)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProviderID != prep.ProviderID {
		t.Errorf("sent %+v", resp)
	}
	if p := w.probe("op-1", prep); p.Outcome != provider.OutcomeSent || p.ProviderID != prep.ProviderID {
		t.Errorf("after: %+v", p)
	}
	if sent := w.in(mail.RoleSent); len(sent) != 1 || sent[0].ID != prep.ProviderID {
		t.Errorf("in Sent: %+v", sent)
	}
	if n := len(w.truth(grace)); n != 1 {
		t.Errorf("%d messages arrived", n)
	}
	// The same operation again: no second draft, and the one that was sent.
	if again := w.mustPrepare("op-1", outgoing, grace); again.ProviderID != prep.ProviderID {
		t.Errorf("prepared again: %+v", again)
	}
	if n := len(w.in(mail.RoleDrafts)); n != 0 {
		t.Errorf("%d drafts", n)
	}
}

func TestEnvelopeRules(t *testing.T) {
	w := connected(t)
	if _, err := w.sandbox.Microsoft().AddUser("eve@contoso.example", "Eve"); err != nil {
		t.Fatal(err)
	}
	raw := strings.Replace(outgoing, "To: Grace <"+grace+">\r\n", "To: Grace <"+grace+">, Nobody <nobody@contoso.example>\r\nBcc: hidden@contoso.example\r\n", 1)
	prep := w.mustPrepare("op", raw, grace, "EVE@contoso.example")
	if _, err := w.send("op", prep); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{grace, "eve@contoso.example"} {
		if n := len(w.truth(u)); n != 1 {
			t.Errorf("%s got %d messages", u, n)
		}
	}
	// A report of a failed delivery would be in the inbox.
	if n := len(w.in(mail.RoleInbox)); n != 0 {
		t.Errorf("%d messages came back: somebody outside the envelope was mailed", n)
	}
}

func TestCutSendIsFoundAndNotRepeated(t *testing.T) {
	w := connected(t)
	prep := w.mustPrepare("op", outgoing, grace)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "POST /me/messages/{id}/send", CutAfter: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := w.send("op", prep)
	wantKind(t, err, mail.KindOutcomeUnknown)
	if p := w.probe("op", prep); p.Outcome != provider.OutcomeSent || p.ProviderID != prep.ProviderID {
		t.Errorf("probe: %+v", p)
	}
	r := w.report()
	if n := r.Count("POST", "/me/messages/{id}/send"); n != 1 || r.MessagesSent != 1 {
		t.Errorf("%d requests, %d messages sent", n, r.MessagesSent)
	}
	if n := len(w.truth(grace)); n != 1 {
		t.Errorf("%d messages arrived", n)
	}
}

func TestFailedSendIsNotSent(t *testing.T) {
	w := connected(t)
	prep := w.mustPrepare("op", outgoing, grace)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "POST /me/messages/{id}/send", Status: 500, Times: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := w.send("op", prep)
	wantKind(t, err, mail.KindOutcomeUnknown)
	if p := w.probe("op", prep); p.Outcome != provider.OutcomeNotSent {
		t.Errorf("probe: %+v", p)
	}
	if _, err := w.send("op", prep); err != nil {
		t.Fatal(err)
	}
	if n := w.report().MessagesSent; n != 1 {
		t.Errorf("%d messages sent", n)
	}
}

func TestSendOfAVanishedDraft(t *testing.T) {
	w := connected(t)
	prep := w.mustPrepare("op", outgoing, grace)
	if err := w.sandbox.Microsoft().Delete(ada, prep.ProviderID); err != nil {
		t.Fatal(err)
	}
	_, err := w.send("op", prep)
	wantKind(t, err, mail.KindOutcomeUnknown)
	if p := w.probe("op", prep); p.Outcome != provider.OutcomeUnknown {
		t.Errorf("probe: %+v", p)
	}
	if n := w.report().MessagesSent; n != 0 {
		t.Errorf("%d messages sent", n)
	}
}

func TestSendWithoutRecipients(t *testing.T) {
	w := connected(t)
	prep := w.mustPrepare("op", strings.Replace(outgoing, "To: Grace <"+grace+">\r\n", "", 1))
	_, err := w.send("op", prep)
	wantKind(t, err, mail.KindInvalid)
}

func TestCutPrepareLeavesOneDraft(t *testing.T) {
	w := connected(t)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "POST /me/mailFolders", CutAfter: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	prep := w.mustPrepare("op", outgoing, grace)
	drafts := w.in(mail.RoleDrafts)
	if len(drafts) != 1 || drafts[0].ID != prep.ProviderID {
		t.Errorf("drafts %+v, prepared %s", drafts, prep.ProviderID)
	}
	if again := w.mustPrepare("op", outgoing, grace); again.ProviderID != prep.ProviderID {
		t.Errorf("prepared again: %+v", again)
	}
	// A draft that somebody else keeps under the same Message-ID is not ours.
	if other := w.mustPrepare("op-2", outgoing, grace); other.ProviderID == prep.ProviderID {
		t.Error("the draft of another operation was taken")
	}
}

// TestDraftThatWasNotMarked: an attempt that ended between making its draft and
// marking it leaves none behind, where the Message-ID says whose the draft is.
func TestDraftThatWasNotMarked(t *testing.T) {
	w := connected(t)
	own := strings.Replace(outgoing, "<notes@", "<op-1@", 1)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "PATCH /me/messages/{id}", Status: 400}, traffic.Fault{Match: "permanentDelete", Status: 403}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.prepare("op-1", own, grace); err == nil {
		t.Fatal("the draft was not marked")
	}
	if drafts := w.in(mail.RoleDrafts); len(drafts) != 1 {
		t.Fatalf("drafts %+v", drafts)
	}
	if _, err := w.prepare("op-1", own, grace); err == nil {
		t.Error("what could not be removed was left behind")
	}
	w.sandbox.Faults().Clear()
	prep := w.mustPrepare("op-1", own, grace)
	if drafts := w.in(mail.RoleDrafts); len(drafts) != 1 || drafts[0].ID != prep.ProviderID {
		t.Errorf("drafts %+v, prepared %s", drafts, prep.ProviderID)
	}
}

// withAttachment is a message of more than size bytes.
func withAttachment(size int) (raw string, data []byte) {
	data = make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	var b bytes.Buffer
	b.WriteString(strings.Replace(outgoing, "Content-Type: text/plain; charset=utf-8\r\n\r\nThe engine weaves.\r\n",
		"In-Reply-To: <parent@contoso.example>\r\nReferences: <root@contoso.example> <parent@contoso.example>\r\nContent-Type: multipart/mixed; boundary=BB\r\n\r\n"+
			"--BB\r\nContent-Type: multipart/alternative; boundary=AA\r\n\r\n--AA\r\nContent-Type: text/plain\r\n\r\nplain\r\n--AA\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=FC=DFe</p>\r\n--AA--\r\n", 1))
	for i, part := range [][]byte{data, []byte("small")} {
		fmt.Fprintf(&b, "--BB\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"part-%d.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", i)
		text := base64.StdEncoding.EncodeToString(part)
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--BB--\r\n")
	return b.String(), data
}

// parts reads the attachments of a message by name.
func parts(t *testing.T, raw []byte) (header stdmail.Header, byName map[string][]byte) {
	t.Helper()
	m, err := stdmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	byName = map[string][]byte{}
	var walk func(ctype string, body io.Reader)
	walk = func(ctype string, body io.Reader) {
		kind, params, err := mime.ParseMediaType(ctype)
		if err != nil || !strings.HasPrefix(kind, "multipart/") {
			return
		}
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextPart()
			if err != nil {
				return
			}
			if p.FileName() == "" {
				walk(p.Header.Get("Content-Type"), p)
				continue
			}
			var src io.Reader = p
			if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "base64") {
				src = base64.NewDecoder(base64.StdEncoding, p)
			}
			data, err := io.ReadAll(src)
			if err != nil {
				t.Fatal(err)
			}
			byName[p.FileName()] = data
		}
	}
	walk(m.Header.Get("Content-Type"), m.Body)
	return m.Header, byName
}

func TestLargeMessageGoesByUpload(t *testing.T) {
	for _, size := range []int{2 << 20, 5 << 20} { // posted whole, uploaded in pieces
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := connected(t)
			raw, data := withAttachment(size)
			faults := []traffic.Fault{{Match: "PUT ", CutAfter: true, Times: 1}}
			if err := w.sandbox.Faults().Put(faults...); err != nil {
				t.Fatal(err)
			}
			prep := w.mustPrepare("op", raw, grace)
			if prep.MessageID != "notes@contoso.example" {
				t.Errorf("Message-ID %q", prep.MessageID)
			}
			if again := w.mustPrepare("op", raw, grace); again.ProviderID != prep.ProviderID {
				t.Error("a second draft was made")
			}
			if _, err := w.send("op", prep); err != nil {
				t.Fatal(err)
			}
			w.account = w.connect(grace)
			var got []byte
			for id := range w.truth(grace) {
				got = w.raw(id).raws[id]
			}
			header, byName := parts(t, got)
			if !bytes.Equal(byName["part-0.bin"], data) || string(byName["part-1.bin"]) != "small" {
				t.Errorf("attachments: %d of %d bytes", len(byName["part-0.bin"]), len(data))
			}
			if header.Get("In-Reply-To") != "<parent@contoso.example>" || !strings.Contains(header.Get("References"), "<root@contoso.example>") {
				t.Errorf("threading was lost: %v", header)
			}
			if !bytes.Contains(got, []byte("Gr=C3=BC=C3=9Fe")) && !bytes.Contains(got, []byte("Grüße")) {
				t.Error("the text is not there")
			}
		})
	}
}

func TestFailedUploadLeavesNoDraft(t *testing.T) {
	w := connected(t)
	raw, _ := withAttachment(5 << 20)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "createUploadSession", Status: 403}); err != nil {
		t.Fatal(err)
	}
	_, err := w.prepare("op", raw, grace)
	wantKind(t, err, mail.KindForbidden)
	if left := w.truth(ada); len(left) != 0 {
		t.Errorf("left behind: %+v", left)
	}
}

func TestSealedAndOversizedMessages(t *testing.T) {
	w := connected(t)
	raw, _ := withAttachment(3 << 20)
	_, err := w.prepare("op", strings.Replace(raw, "multipart/mixed", "multipart/signed", 1), grace)
	wantKind(t, err, mail.KindTooLarge)
	// Of a message that is taken apart the text alone has to fit into a request.
	_, err = w.prepare("op", "From: ada@contoso.example\r\nSubject: long\r\nMessage-ID: <long@contoso.example>\r\n\r\n"+strings.Repeat("All work and no play.\r\n", 5<<20/23), grace)
	wantKind(t, err, mail.KindTooLarge)
	if !strings.Contains(err.Error(), "text of the message") {
		t.Errorf("the error does not tell that it is the text: %v", err)
	}
	if left := w.truth(ada); len(left) != 0 {
		t.Errorf("left behind: %+v", left)
	}
	_, err = w.p.Prepare(t.Context(), &provider.PrepareRequest{Call: w.call(), Size: 1 << 40}, strings.NewReader("x"))
	wantKind(t, err, mail.KindTooLarge)
	_, err = w.p.Prepare(t.Context(), &provider.PrepareRequest{Call: w.call(), Size: 5}, strings.NewReader("abc"))
	wantKind(t, err, mail.KindInvalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.p.Prepare(ctx, &provider.PrepareRequest{Call: w.call(), Size: 1}, strings.NewReader("x")); err == nil {
		t.Error("a cancelled call went on")
	}
}

func TestAppend(t *testing.T) {
	w := connected(t)
	box := w.createMailbox("", "Box").ID
	drafts := w.mailboxes()[mail.RoleDrafts].ID
	large, data := withAttachment(2_400_000)
	larger, _ := withAttachment(4 << 20)
	for _, tc := range []struct {
		name, raw, box string
		keywords, want []string
		check          func(*testing.T, stdmail.Header, map[string][]byte)
	}{
		{"unread", outgoing, box, nil, nil, nil},
		{"read and flagged", outgoing, box, []string{mail.Seen, mail.Flagged, "red"}, []string{mail.Flagged, mail.Seen, "red"}, nil},
		{"answered", outgoing, box, []string{mail.Answered, mail.Seen}, []string{mail.Answered, mail.Seen}, nil},
		{"forwarded draft", outgoing, drafts, []string{mail.Draft, mail.Forwarded}, []string{mail.Draft, mail.Forwarded}, nil},
		{"draft", outgoing, drafts, []string{mail.Draft, mail.Seen}, []string{mail.Draft, mail.Seen}, nil},
		{"large", large, box, []string{mail.Seen}, []string{mail.Seen}, func(t *testing.T, _ stdmail.Header, byName map[string][]byte) {
			if !bytes.Equal(byName["part-0.bin"], data) {
				t.Errorf("attachment has %d of %d bytes", len(byName["part-0.bin"]), len(data))
			}
		}},
		{"larger", larger, box, nil, nil, nil},
		{"large draft", larger, drafts, []string{mail.Draft, mail.Seen}, []string{mail.Draft, mail.Seen}, nil},
	} {
		var first string
		for range 2 { // the second time it is found
			resp, err := w.p.Append(t.Context(), &provider.AppendRequest{
				Call: w.call(), OperationID: "op " + tc.name, Mailbox: tc.box, Keywords: tc.keywords,
				ReceivedAt: w.clock.Now().AddDate(-1, 0, 0), Size: int64(len(tc.raw)),
			}, strings.NewReader(tc.raw))
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			m := resp.Message
			if first == "" {
				first = m.ProviderID
			}
			if m.ProviderID != first {
				t.Errorf("%s: appended twice", tc.name)
			}
			if diff := cmp.Diff(tc.want, m.Keywords); diff != "" || !slices.Equal(m.Mailboxes, []string{tc.box}) || m.Subject != "Notes" || m.MessageID != "notes@contoso.example" {
				t.Errorf("%s: %s %+v", tc.name, diff, m)
			}
			if !slices.Contains(tc.keywords, mail.Draft) && m.ReceivedAt.Unix() != w.clock.Now().AddDate(-1, 0, 0).Unix() && w.clock.Now().Sub(m.ReceivedAt).Hours() < 300*24 {
				t.Errorf("%s: received at %v", tc.name, m.ReceivedAt)
			}
		}
		if tc.check != nil {
			header, byName := parts(t, w.raw(first).raws[first])
			tc.check(t, header, byName)
		}
		if got := w.fetch(first)[first].Keywords; !slices.Equal(got, tc.want) {
			t.Errorf("%s: read again it has %v", tc.name, got)
		}
	}
	inBox := 0
	for _, m := range w.truth(ada) {
		if slices.Contains(m.Mailboxes, box) || slices.Contains(m.Mailboxes, drafts) {
			inBox++
		}
	}
	if inBox != 8 {
		t.Errorf("%d messages", inBox)
	}
}

func TestAppendWhereOnlyDraftsTakeAttachments(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) {
		o.Settings.Mail = func(s *graph.Settings) { s.AttachToDraftsOnly = true }
	})
	box := w.createMailbox("", "Box").ID
	raw, _ := withAttachment(4 << 20)
	_, err := w.p.Append(t.Context(), &provider.AppendRequest{Call: w.call(), OperationID: "op", Mailbox: box, Size: int64(len(raw))}, strings.NewReader(raw))
	wantKind(t, err, mail.KindTooLarge)
	if left := w.truth(ada); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
