package e2e

import (
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
)

// written is a message as a conversation has it.
type written struct {
	ID, Subject, MessageID string
	InReplyTo, References  []string
	From                   []struct{ Email string }
	Headers                []struct{ Name, Value string }
}

// all gives the values of a header field.
func (w *written) all(name string) (values []string) {
	for _, h := range w.Headers {
		if textproto.CanonicalMIMEHeaderKey(h.Name) == textproto.CanonicalMIMEHeaderKey(name) {
			values = append(values, h.Value)
		}
	}
	return values
}

// conversation gives the thread that a message is in, oldest first.
func (s *scene) conversation(id string) (thread string, all []written) {
	s.t.Helper()
	var got struct {
		Message struct {
			Thread struct {
				ID       string
				Count    int
				Messages struct{ Edges []struct{ Node written } }
			}
		}
	}
	s.query(`query($id: ID!) { message(id: $id) { thread { id count messages { edges { node {
		id subject messageId inReplyTo references from { email } headers { name value } } } } } } }`, map[string]any{"id": id}, &got)
	th := got.Message.Thread
	for _, e := range th.Messages.Edges {
		all = append(all, e.Node)
	}
	if th.Count != len(all) {
		s.t.Errorf("thread %s says that it has %d messages and gives %d", th.ID, th.Count, len(all))
	}
	return th.ID, all
}

// TestOneThreadAcross: a mail from one provider to the other, the answer and the
// answer to that are one thread on both sides, told to subscribers of both in
// order; also where both providers give what is sent another Message-ID.
func TestOneThreadAcross(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]gmail.MessageIDPolicy{"kept": gmail.MessageIDsAcceptable, "replaced": gmail.MessageIDsReplaced} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, func(o *sandbox.Options, _ settings) {
				o.GoogleSettings.Mail.MessageIDs = policy
				o.Settings.Mail = func(g *graph.Settings) { g.KeepMessageID = policy != gmail.MessageIDsReplaced }
			})
			accounts := map[string]string{ada: s.join(ada), alanAtGmail: s.join(alanAtGmail)}
			followers := map[string]*follower{}
			for address, id := range accounts {
				s.eventually("changes of "+address+" are pushed", func() bool { state, _ := s.watchState(id); return state == "PUSH" })
				followers[address] = s.follow(id)
			}
			s.across(accounts, followers, ada, alanAtGmail, "The engine", policy)
			s.across(accounts, followers, alanAtGmail, ada, "The test", policy)
		})
	}
}

// across has first write to second, who answers and is answered.
func (s *scene) across(accounts map[string]string, followers map[string]*follower, first, second, subject string, policy gmail.MessageIDPolicy) {
	t := s.t
	t.Helper()
	authors := []string{first, second, first}
	other := map[string]string{first: second, second: first}
	// held is each side's message of each step, by the id it has there.
	held := map[string][]string{}
	told := func(address string) (ids []string) {
		for _, e := range followers[address].until("a new message of "+address, func(all []toldEvent) bool {
			return len(ofThread(all, subject)) > len(held[address])
		}) {
			if len(ofThread([]toldEvent{e}, subject)) > 0 {
				ids = append(ids, e.MessageID)
			}
		}
		return ids
	}
	for step, author := range authors {
		// Dates of mail have whole seconds: what comes within one has no order.
		before := time.Now().Unix()
		s.eventually("the next second", func() bool { return time.Now().Unix() > before })
		in := map[string]any{"account": accounts[author], "text": "In step " + string(rune('1'+step))}
		if step == 0 {
			in["to"], in["subject"] = []string{other[author]}, subject
		} else {
			in["reply"] = held[author][step-1]
		}
		s.query(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": in}, nil)
		for _, address := range []string{first, second} {
			if held[address] = told(address); len(held[address]) != step+1 {
				t.Fatalf("step %d: %s was told of %v", step, address, held[address])
			}
		}
	}
	sides := map[string][]written{}
	for address, ids := range held {
		var thread string
		for i, id := range ids {
			at, all := s.conversation(id)
			if thread == "" {
				thread, sides[address] = at, all
			}
			if at != thread {
				t.Errorf("%s: message %d is in thread %s, the first in %s", address, i, at, thread)
			}
		}
		var got []string
		for _, m := range sides[address] {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Fatalf("%s: the thread is not what was told, in order:\n%s", address, diff)
		}
	}
	for step, author := range authors {
		var before []string
		for _, m := range sides[first][:step] {
			before = append(before, m.MessageID)
		}
		for address, side := range sides {
			m := side[step]
			if m.MessageID == "" || m.MessageID != sides[first][step].MessageID {
				t.Errorf("%s: step %d has Message-ID %q, at %s it is %q", address, step, m.MessageID, first, sides[first][step].MessageID)
			}
			if step > 0 && (!slices.Equal(m.InReplyTo, before[step-1:]) || !slices.Equal(m.References, before)) {
				t.Errorf("%s: step %d answers %v and refers to %v; before came %v", address, step, m.InReplyTo, m.References, before)
			}
			if len(m.From) != 1 || m.From[0].Email != author {
				t.Errorf("%s: step %d is from %v", address, step, m.From)
			}
			if address != author {
				s.travelled(address, author, &m, policy)
			}
		}
	}
}

// travelled checks what the clouds add to a message on its way.
func (s *scene) travelled(to, from string, m *written, policy gmail.MessageIDPolicy) {
	t := s.t
	t.Helper()
	received := strings.Join(m.all("Received"), "\n")
	want := []string{"mx.sandbox.example"}
	if to == alanAtGmail {
		want = append(want, "mx.google.com")
		for _, name := range []string{"Delivered-To", "X-Google-Smtp-Source", "ARC-Seal", "Authentication-Results", "Received-SPF"} {
			if len(m.all(name)) == 0 {
				t.Errorf("%s at Gmail lacks %s", m.Subject, name)
			}
		}
	}
	if from == alanAtGmail {
		want = append(want, "gmailapi.google.com")
	}
	for _, w := range want {
		if !strings.Contains(received, w) {
			t.Errorf("%s to %s was not received by %s: %s", m.Subject, to, w, received)
		}
	}
	original := m.all("X-Google-Original-Message-ID")
	if replaced := from == alanAtGmail && policy == gmail.MessageIDsReplaced; replaced != (len(original) == 1) {
		t.Errorf("%s from %s: X-Google-Original-Message-ID is %v", m.Subject, from, original)
	} else if replaced && (!strings.HasSuffix(m.MessageID, "@mail.gmail.com") || strings.Contains(original[0], m.MessageID)) {
		t.Errorf("%s: Message-ID %s stands for %v", m.Subject, m.MessageID, original)
	}
}

// ofThread are the events that tell of a conversation's new messages.
func ofThread(told []toldEvent, subject string) (out []toldEvent) {
	for _, e := range told {
		if e.Type == "MESSAGE_CREATED" && e.Snapshot != nil && strings.HasSuffix(e.Snapshot.Subject, subject) {
			out = append(out, e)
		}
	}
	return out
}
