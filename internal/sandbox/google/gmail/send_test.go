package gmail

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
)

const letterTo = "From: Alan Turing <alan@gmail.example>\r\nTo: Grace <grace@gmail.example>\r\nBcc: hidden@other.example\r\nSubject: Plans\r\nDate: Fri, 11 Sep 2026 10:00:00 +0000\r\nMessage-ID: <plans-1@postern.example>\r\n\r\nHello\r\n"

func TestSend(t *testing.T) {
	d := newDesk(t, Settings{})
	m, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if m.Id == "" || m.ThreadId != m.Id || fmt.Sprint(m.LabelIds) != "[SENT]" {
		t.Errorf("%+v", m)
	}
	kept := d.raw(d.api, m.Id)
	if !strings.HasPrefix(kept, "Received: from ") || !strings.Contains(kept, " by gmailapi.google.com with HTTPREST; Fri, 11 Sep 2026 20:00:00 +0000\r\n") {
		t.Errorf("trace: %s", kept)
	}
	if !strings.HasSuffix(kept, letterTo) {
		t.Errorf("the letter itself is changed: %s", kept)
	}
	if d.sent() != 1 || fmt.Sprint(d.rcpts[0]) != "[grace@gmail.example hidden@other.example]" {
		t.Errorf("to %v", d.rcpts)
	}
	if strings.Contains(string(d.mail[0]), "Bcc") {
		t.Errorf("Bcc travels: %s", d.mail[0])
	}
	inbox, err := d.client("grace").Users.Messages.List("me").LabelIds("INBOX").Q("rfc822msgid:<plans-1@postern.example>").Do()
	if err != nil || len(inbox.Messages) != 1 {
		t.Errorf("grace has %v, %v", inbox, err)
	}
}

// What Gmail puts in place of what is missing, or of what may not be.
func TestSendCompletes(t *testing.T) {
	for _, c := range []struct {
		name, head string
		set        Settings
		want       []string
		not        []string
	}{
		{"nothing there", "To: grace@gmail.example\r\n", Settings{},
			[]string{"From: \"Alan Turing\" <alan@gmail.example>\r\n", "Date: Fri, 11 Sep 2026 20:00:00 +0000\r\n", "Message-ID: <CA", "@mail.gmail.com>\r\n"}, []string{"X-Google-Original"}},
		{"a stranger's From", "From: Bob <bob@elsewhere.example>\r\nTo: grace@gmail.example\r\n", Settings{},
			[]string{"From: \"Alan Turing\" <alan@gmail.example>\r\n"}, []string{"bob@elsewhere"}},
		{"an alias", "From: Al <al@alias.example>\r\nTo: grace@gmail.example\r\n", Settings{}, []string{"From: Al <al@alias.example>\r\n"}, []string{"Turing"}},
		{"a Message-ID without a dot", "To: grace@gmail.example\r\nMessage-ID: <1@localhost>\r\n", Settings{},
			[]string{"X-Google-Original-Message-ID: <1@localhost>\r\n", "\r\nMessage-ID: <CA"}, nil},
		{"one that is none", "To: grace@gmail.example\r\nmessage-id:\r\n not an id\r\n", Settings{},
			[]string{"X-Google-Original-Message-ID:\r\n not an id\r\n"}, nil},
		{"all are replaced", "To: grace@gmail.example\r\nMessage-ID: <a@b.example>\r\n", Settings{MessageIDs: MessageIDsReplaced},
			[]string{"X-Google-Original-Message-ID: <a@b.example>\r\n", "\r\nMessage-ID: <CA"}, nil},
		{"all are kept", "To: grace@gmail.example\r\nMessage-ID: <1@localhost>\r\n", Settings{MessageIDs: MessageIDsKept},
			[]string{"\r\nMessage-ID: <1@localhost>\r\n"}, []string{"X-Google-Original"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.set)
			if err := d.server.AddAlias(alan, "al@alias.example", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(c.head + "\r\nx\r\n")}).Do(); err != nil {
				t.Fatal(err)
			}
			got := string(d.mail[0])
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in\n%s", w, got)
				}
			}
			for _, w := range c.not {
				if strings.Contains(got, w) {
					t.Errorf("%q in\n%s", w, got)
				}
			}
		})
	}
}

func TestSendToOneself(t *testing.T) {
	d := newDesk(t, Settings{})
	m, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64("To: ALAN@gmail.example, grace@gmail.example\r\nSubject: me\r\n\r\nx\r\n")}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.LabelIds); got != "[INBOX SENT UNREAD]" {
		t.Errorf("labels %s", got)
	}
	if list, err := d.api.Users.Messages.List("me").Do(); err != nil || len(list.Messages) != 1 {
		t.Errorf("%d messages, %v", len(list.Messages), err)
	}
	if got := fmt.Sprint(d.rcpts); got != "[[grace@gmail.example]]" {
		t.Errorf("to %s", got)
	}
}

func TestSendThreads(t *testing.T) {
	d := newDesk(t, Settings{})
	send := func(thread, head string) *api.Message {
		t.Helper()
		m, err := d.api.Users.Messages.Send("me", &api.Message{ThreadId: thread, Raw: b64(head + "To: grace@gmail.example\r\n\r\nx\r\n")}).Do()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := send("", "Subject: Plans\r\nMessage-ID: <1@postern.example>\r\n")
	if m := send(first.ThreadId, "Subject: Re: Plans\r\nReferences: <1@postern.example>\r\nIn-Reply-To: <1@postern.example>\r\n"); m.ThreadId != first.ThreadId {
		t.Errorf("the reply is in %s, not %s", m.ThreadId, first.ThreadId)
	}
	if m := send(first.ThreadId, "Subject: Re: Plans\r\n"); m.ThreadId == first.ThreadId {
		t.Error("without References it is in the thread")
	}
	if m := send(first.ThreadId, "Subject: Other\r\nReferences: <1@postern.example>\r\n"); m.ThreadId == first.ThreadId {
		t.Error("with another subject it is in the thread")
	}
	_, err := d.api.Users.Messages.Send("me", &api.Message{ThreadId: "0123456789abcdef", Raw: b64(letterTo)}).Do()
	d.refusal(err, 404, "notFound", "Requested entity was not found.")
	_, err = d.api.Users.Messages.Send("me", &api.Message{ThreadId: "x", Raw: b64(letterTo)}).Do()
	d.refusal(err, 400, "invalidArgument", "Invalid thread_id value")
}

func TestSendRefusals(t *testing.T) {
	d := newDesk(t, Settings{Quota: Quota{Sends: 1}})
	for _, c := range []struct {
		raw, reason, message string
	}{
		{b64("Subject: to nobody\r\n\r\nx"), "invalidArgument", "Recipient address required"},
		{b64("To: \r\n\r\nx"), "invalidArgument", "Recipient address required"},
		{b64("To: nobody at all\r\n\r\nx"), "invalidArgument", "Invalid To header"},
		{b64("To: grace@gmail.example\r\nCc: x@\r\n\r\nx"), "invalidArgument", "Invalid Cc header"},
		{b64("Bcc: a b@c.example, @d\r\n\r\nx"), "invalidArgument", "Invalid Bcc header"},
		{"%%%", "badRequest", "Base64 decoding failed"},
		{"", "invalidArgument", "'raw' RFC822 payload message string or uploading message via /upload/* URL required"},
	} {
		_, err := d.api.Users.Messages.Send("me", &api.Message{Raw: c.raw}).Do()
		d.refusal(err, 400, c.reason, c.message)
	}
	if d.sent() != 0 {
		t.Fatalf("%d were sent", d.sent())
	}
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do(); err != nil {
		t.Fatal(err)
	}
	_, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do()
	d.refusal(err, 429, "", "User-rate limit exceeded (Mail sending)")
	if d.sent() != 1 || d.counters.Report("google", alan).Refusals[limitSends] != 1 {
		t.Errorf("%d sent, %+v", d.sent(), d.counters.Report("google", alan).Refusals)
	}
}

// Both alphabets of base64 are read, with padding and without.
func TestRawIsReadAsItComes(t *testing.T) {
	for _, s := range []string{"Pj4_Pw", "Pj4_Pw==", "Pj4/Pw==", "Pj4/Pw"} {
		if got, err := decodeRaw(s); err != nil || string(got) != ">>??" {
			t.Errorf("%s: %q %v", s, got, err)
		}
	}
	if _, err := decodeRaw("a\xffb"); err == nil {
		t.Error("rubbish was read")
	}
}

func TestInsert(t *testing.T) {
	d := newDesk(t, Settings{})
	raw := "From: x\nSubject: as it is, with bare line ends\nDate: Mon, 02 Jan 2006 15:04:05 -0700\n\n\x00\xff body"
	m, err := d.api.Users.Messages.Insert("me", &api.Message{LabelIds: []string{"INBOX", "STARRED", "UNREAD"}}).
		Media(strings.NewReader(raw), googleapi.ContentType("message/rfc822")).InternalDateSource("dateHeader").Do()
	if err != nil {
		t.Fatal(err)
	}
	if got := d.raw(d.api, m.Id); got != raw {
		t.Errorf("%q", got)
	}
	got, err := d.api.Users.Messages.Get("me", m.Id).Format("minimal").Do()
	if err != nil || got.InternalDate != 1136239445000 || fmt.Sprint(got.LabelIds) != "[INBOX STARRED UNREAD]" {
		t.Errorf("%+v %v", got, err)
	}
	m, err = d.api.Users.Messages.Insert("me", &api.Message{Raw: b64(raw)}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.api.Users.Messages.Get("me", m.Id).Format("minimal").Do(); err != nil || got.InternalDate != d.clock.t.UnixMilli() || len(got.LabelIds) != 0 {
		t.Errorf("received time: %+v %v", got, err)
	}
	m, err = d.api.Users.Messages.Insert("me", &api.Message{Raw: b64(raw)}).Deleted(true).Do()
	if err != nil || m.Id == "" {
		t.Fatalf("%+v %v", m, err)
	}
	_, err = d.api.Users.Messages.Get("me", m.Id).Do()
	d.refusal(err, 404, "notFound", "")
	for label, message := range map[string]string{"CHAT": "Invalid label: CHAT", "Label_99": "Invalid label: Label_99"} {
		_, err := d.api.Users.Messages.Insert("me", &api.Message{Raw: b64(raw), LabelIds: []string{label}}).Do()
		d.refusal(err, 400, "invalidArgument", message)
	}
	if d.sent() != 0 {
		t.Error("an inserted message was sent")
	}
}

func TestImport(t *testing.T) {
	d := newDesk(t, Settings{})
	const spam = "From: x@y.example\r\nDate: Mon, 02 Jan 2006 15:04:05 -0700\r\n\r\n" + gtube + "\r\n"
	for never, want := range map[bool]string{false: "[SPAM]", true: "[INBOX]"} {
		m, err := d.api.Users.Messages.Import("me", &api.Message{LabelIds: []string{"INBOX"}}).NeverMarkSpam(never).ProcessForCalendar(false).
			Media(strings.NewReader(spam), googleapi.ContentType("message/rfc822")).Do()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(m.LabelIds) != want {
			t.Errorf("never %v: %v", never, m.LabelIds)
		}
		if got, err := d.api.Users.Messages.Get("me", m.Id).Format("minimal").Do(); err != nil || got.InternalDate != 1136239445000 {
			t.Errorf("%+v %v", got, err)
		}
		if got := d.raw(d.api, m.Id); got != spam {
			t.Errorf("%q", got)
		}
	}
}

// A message of more than 16 MiB goes up in pieces, by the client's own doing.
func TestLargeMessagesGoUpInPieces(t *testing.T) {
	d := newDesk(t, Settings{})
	body := bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"), 17<<20/64)
	raw := append([]byte(letterTo), body...)
	m, err := d.api.Users.Messages.Insert("me", &api.Message{LabelIds: []string{"INBOX"}}).Media(bytes.NewReader(raw), googleapi.ContentType("message/rfc822")).Do()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(m.LabelIds) != "[INBOX]" || d.raw(d.api, m.Id) != string(raw) {
		t.Errorf("%v, %d bytes", m.LabelIds, len(d.raw(d.api, m.Id)))
	}
	if u := d.counters.Report("google", alan).Units["messages.insert"]; u != 25 {
		t.Errorf("%d units for one insert", u)
	}
	if _, err = d.api.Users.Messages.Send("me", nil).Media(bytes.NewReader(raw), googleapi.ContentType("message/rfc822"), googleapi.ChunkSize(8<<20)).Do(); err != nil {
		t.Fatal(err)
	}
	if d.sent() != 1 || !bytes.HasSuffix(d.mail[0], body) {
		t.Errorf("%d sent", d.sent())
	}
	_, err = d.api.Users.Messages.Send("me", nil).Media(bytes.NewReader(bytes.Repeat(raw, 3)), googleapi.ContentType("message/rfc822")).Do()
	d.refusal(err, 413, "uploadTooLarge", "")
}
