package providertest

import (
	"bytes"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func sendCases() []Case {
	sends := needs(provider.CapSend)
	return []Case{
		{Name: "send/prepare", Doc: "a prepared message is a draft, and not sent", Needs: sends, test: sendPrepare},
		{Name: "send/prepare-repeat", Doc: "the same operation finds the draft it made", Needs: sends, test: sendPrepareRepeat},
		{Name: "send/prepare-cut", Doc: "a message that breaks off is not prepared", Needs: sends, test: sendPrepareCut},
		{Name: "send/once", Doc: "one copy arrives, one is in sent, the draft is gone, and Probe says sent", Needs: sends, test: sendOnce},
		{Name: "send/twice", Doc: "sending the same prepared message again sends nothing", Needs: sends, test: sendTwice},
		{Name: "send/bcc", Doc: "a recipient who is in the envelope alone gets a copy", Needs: sends, test: sendBcc},
		{Name: "send/envelope", Doc: "who is in the headers alone gets nothing", Needs: sends, test: sendEnvelope},
		{Name: "send/message-id", Doc: "the Message-ID told is the one in sent", Needs: sends, test: sendMessageID},
		{Name: "send/own-draft", Doc: "a draft of the owner's under the same Message-ID stays, whatever earlier attempts may have left",
			Needs: needs(provider.CapSend, provider.CapAppend), test: sendOwnDraft},
		{Name: "send/large", Doc: "a message of 5 MiB is sent", Needs: sends, test: sendLarge},
		{Name: "send/gone-draft", Doc: "a draft that is gone cannot be sent, and was not", Needs: sends, test: sendGoneDraft},
		{Name: "send/lost-answer", Doc: "a send whose answer is lost is settled by Probe, and sent once", Needs: sends, test: sendLostAnswer},
	}
}

// submission is a letter on its way out.
type submission struct {
	letter
	operation  string
	recipients []string
	prepared   provider.Prepared
}

// recipient is another account of the world; the case is skipped without.
func (f *fixture) recipient(n int) string {
	f.Helper()
	all := f.w.Recipients()
	if len(all) <= n {
		f.hook(NoHook("recipients"))
	}
	return all[n]
}

// outgoing writes a letter from the account to somebody.
func (f *fixture) outgoing(to string, options ...letterOption) letter {
	return newLetter(to, append([]letterOption{from(f.w.Address()), alone}, options...)...)
}

// prepare prepares a letter for its recipients.
func (f *fixture) prepare(l letter, recipients ...string) *submission {
	f.Helper()
	s := &submission{letter: l, operation: token(), recipients: recipients}
	s.prepared = f.prepareAgain(s)
	return s
}

func (f *fixture) prepareAgain(s *submission) provider.Prepared {
	f.Helper()
	resp, err := f.p.Prepare(f.ctx, f.prepareRequest(s), bytes.NewReader(s.raw))
	f.must("prepare", err)
	return resp.Prepared
}

func (f *fixture) prepareRequest(s *submission) *provider.PrepareRequest {
	return &provider.PrepareRequest{
		Call: f.call(), OperationID: s.operation, MessageID: s.want.MessageID, Size: int64(len(s.raw)),
		Envelope: provider.Envelope{From: f.w.Address(), Recipients: s.recipients},
	}
}

func (f *fixture) send(s *submission) (*provider.SendResponse, error) {
	return f.p.Send(f.ctx, &provider.SendRequest{Call: f.call(), OperationID: s.operation, Prepared: s.prepared})
}

func (f *fixture) probe(s *submission) *provider.ProbeResponse {
	f.Helper()
	resp, err := f.p.Probe(f.ctx, &provider.ProbeRequest{Call: f.call(), OperationID: s.operation, Prepared: s.prepared})
	f.must("probe", err)
	return resp
}

// settled waits until Probe says what became of a submission.
func (f *fixture) settled(s *submission, want provider.Outcome) {
	f.Helper()
	var got provider.Outcome
	f.eventually("probe says "+string(want), func() bool {
		got = f.probe(s).Outcome
		return got == want
	})
	if got != want {
		f.Fatalf("probe says %s, want %s", got, want)
	}
}

// arrivals counts the messages that an account gets from now on. Before it
// counts, it sends one more and waits for that: whatever was sent before has
// arrived by then, if it ever does.
func (f *fixture) arrivals(address string) (count func() int) {
	f.Helper()
	before := f.truth(address)
	fresh := func() int {
		n := 0
		for id := range f.truth(address) {
			if _, old := before[id]; !old {
				n++
			}
		}
		return n
	}
	return func() int {
		f.Helper()
		had := fresh()
		last := f.prepare(f.outgoing(address), address)
		_, err := f.send(last)
		f.must("send the last one", err)
		if !f.eventually("the last one arrives", func() bool { return fresh() > had }) {
			return had
		}
		return fresh() - 1
	}
}

func sendPrepare(f *fixture) {
	drafts := f.role(mail.RoleDrafts).ID
	s := f.prepare(f.outgoing("nobody@providertest.example"), "nobody@providertest.example")
	if s.prepared.ProviderID == "" {
		f.Fatalf("prepare gives no id")
	}
	if got := f.metadata(s.prepared.ProviderID)[s.prepared.ProviderID]; !slices.Equal(f.besides(f.allMail(), got.Mailboxes), []string{drafts}) || got.Subject != s.want.Subject {
		f.Errorf("the draft is %q in %v, want %q in %s", got.Subject, got.Mailboxes, s.want.Subject, drafts)
	}
	for range 2 {
		f.settled(s, provider.OutcomeNotSent)
	}
}

func sendPrepareRepeat(f *fixture) {
	drafts := f.role(mail.RoleDrafts).ID
	s := f.prepare(f.outgoing("nobody@providertest.example"), "nobody@providertest.example")
	for range 2 {
		if again := f.prepareAgain(s); again.ProviderID != s.prepared.ProviderID {
			f.Errorf("one operation made the drafts %s and %s", s.prepared.ProviderID, again.ProviderID)
		}
	}
	f.onlyOne(drafts, s.letter)
}

func sendPrepareCut(f *fixture) {
	drafts := f.role(mail.RoleDrafts).ID
	s := &submission{letter: f.outgoing("nobody@providertest.example", attached(100_000)), operation: token(), recipients: []string{"nobody@providertest.example"}}
	req := f.prepareRequest(s)
	err, ended := f.within("prepare", func() error {
		_, err := f.p.Prepare(f.ctx, req, cutReader(s.letter))
		return err
	})
	if !ended {
		return
	}
	if err == nil {
		f.Errorf("a message that broke off was prepared")
	}
	if n := f.count(drafts, s.letter); n != 0 {
		f.Errorf("a message that broke off is a draft")
	}
}

func sendOnce(f *fixture) {
	to := f.recipient(0)
	sent, drafts := f.role(mail.RoleSent).ID, f.role(mail.RoleDrafts).ID
	arrived := f.arrivals(to)
	s := f.prepare(f.outgoing(to), to)
	_, err := f.send(s)
	f.must("send", err)
	f.settled(s, provider.OutcomeSent)
	if n := arrived(); n != 1 {
		f.Errorf("%d copies arrived, want 1", n)
	}
	f.eventually("the message is in sent", func() bool { return f.count(sent, s.letter) > 0 })
	f.onlyOne(sent, s.letter)
	if n := f.count(drafts, s.letter); n != 0 {
		f.Errorf("the draft is still there")
	}
}

func sendTwice(f *fixture) {
	to := f.recipient(0)
	arrived := f.arrivals(to)
	s := f.prepare(f.outgoing(to), to)
	_, err := f.send(s)
	f.must("send", err)
	if _, err := f.send(s); err != nil {
		f.kind("send again", err, mail.KindNotFound, mail.KindConflict, mail.KindInvalid, mail.KindOutcomeUnknown)
	}
	f.settled(s, provider.OutcomeSent)
	if n := arrived(); n != 1 {
		f.Errorf("%d copies arrived, want 1", n)
	}
	f.onlyOne(f.role(mail.RoleSent).ID, s.letter)
}

func sendBcc(f *fixture) {
	to, bcc := f.recipient(0), f.recipient(1)
	open, blind := f.arrivals(to), f.arrivals(bcc)
	s := f.prepare(f.outgoing(to), to, bcc)
	_, err := f.send(s)
	f.must("send", err)
	if n := open(); n != 1 {
		f.Errorf("%d copies arrived at the recipient in the header, want 1", n)
	}
	if n := blind(); n != 1 {
		f.Errorf("%d copies arrived at the recipient in the envelope alone, want 1", n)
	}
}

// sendEnvelope has one person in the headers and another in the envelope. A
// provider that cannot send so must refuse; it must not write to the first.
func sendEnvelope(f *fixture) {
	header, envelope := f.recipient(0), f.recipient(1)
	first, second := f.arrivals(header), f.arrivals(envelope)
	s := &submission{letter: f.outgoing(header), operation: token(), recipients: []string{envelope}}
	resp, err := f.p.Prepare(f.ctx, f.prepareRequest(s), bytes.NewReader(s.raw))
	if err == nil {
		s.prepared = resp.Prepared
		_, err = f.send(s)
	}
	if err != nil {
		f.kind("send to others than the headers name", err, mail.KindInvalid, mail.KindForbidden)
	} else if n := second(); n != 1 {
		f.Errorf("%d copies arrived at the recipient in the envelope, want 1", n)
	}
	if n := first(); n != 0 {
		f.Errorf("%d copies arrived at the one who is in the headers alone, want none", n)
	}
}

func sendMessageID(f *fixture) {
	to, sent := f.recipient(0), f.role(mail.RoleSent).ID
	s := f.prepare(f.outgoing(to), to)
	resp, err := f.send(s)
	f.must("send", err)
	f.settled(s, provider.OutcomeSent)
	probed := f.probe(s)
	var have mail.Message
	f.eventually("the message is in sent", func() bool {
		for _, m := range f.metadata(f.listed(sent)...) {
			if m.Subject == s.want.Subject {
				have = m
			}
		}
		return have.ProviderID != ""
	})
	for what, id := range map[string]string{"prepare": s.prepared.MessageID, "send": resp.MessageID, "probe": probed.MessageID} {
		if id != "" && id != have.MessageID {
			f.Errorf("%s tells Message-ID %q, the message in sent has %q", what, id, have.MessageID)
		}
	}
	for what, id := range map[string]string{"send": resp.ProviderID, "probe": probed.ProviderID} {
		if id != "" && id != have.ProviderID {
			f.Errorf("%s tells id %q, the message in sent has %q", what, id, have.ProviderID)
		}
	}
}

// sendOwnDraft has a draft that somebody goes on with, while what he sent of it
// is on its way, and is tried again.
func sendOwnDraft(f *fixture) {
	to, drafts, first := f.recipient(0), f.role(mail.RoleDrafts).ID, time.Now()
	s := &submission{letter: f.outgoing(to), operation: token(), recipients: []string{to}}
	own := bytes.Replace(s.raw, []byte("Dear reader,"), []byte("My dear reader,"), 1)
	resp, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: drafts, Size: int64(len(own)), ReceivedAt: first, Keywords: []string{mail.Draft},
	}, bytes.NewReader(own))
	f.must("append a draft", err)
	req := f.prepareRequest(s)
	req.FirstAttempt = first
	for range 2 {
		resp, err := f.p.Prepare(f.ctx, req, bytes.NewReader(s.raw))
		f.must("prepare", err)
		s.prepared = resp.Prepared
	}
	if s.prepared.ProviderID == resp.Message.ProviderID {
		f.Errorf("the owner's draft is taken for the operation's")
	}
	_, err = f.send(s)
	f.must("send", err)
	f.settled(s, provider.OutcomeSent)
	id := resp.Message.ProviderID
	if ids := f.listed(drafts); !slices.Contains(ids, id) {
		f.Errorf("the owner's draft %s is gone, %v are there", id, ids)
	}
}

func sendLarge(f *fixture) {
	if limit := f.info.Limits.MaxMessageBytes; limit > 0 && limit < largeMessage+4096 {
		f.Skipf("the largest message has %d octets", limit)
	}
	to := f.recipient(0)
	before := f.truth(to)
	s := f.prepare(f.outgoing(to, attached(largeMessage)), to)
	_, err := f.send(s)
	f.must("send", err)
	f.eventually("a large message arrives whole", func() bool {
		for id, m := range f.truth(to) {
			if _, old := before[id]; !old && m.Size >= largeMessage {
				return true
			}
		}
		return false
	})
}

// sendGoneDraft: a draft is gone after sending, too, so that a provider may not
// know at once what happened. Probe must.
func sendGoneDraft(f *fixture) {
	to := f.recipient(0)
	arrived := f.arrivals(to)
	s := f.prepare(f.outgoing(to), to)
	f.remove(s.prepared.ProviderID)
	_, err := f.send(s)
	f.kind("send a draft that is gone", err, mail.KindNotFound, mail.KindInvalid, mail.KindConflict, mail.KindOutcomeUnknown)
	if got := f.probe(s).Outcome; got == provider.OutcomeSent {
		f.Errorf("probe says %s of what was never sent", got)
	}
	if n := arrived(); n != 0 {
		f.Errorf("%d copies arrived, want none", n)
	}
}

func sendLostAnswer(f *fixture) {
	to := f.recipient(0)
	arrived := f.arrivals(to)
	s := f.prepare(f.outgoing(to), to)
	end, err := f.w.Fault(f.ctx, f.w.Address(), FaultLostAnswer)
	f.hook(err)
	_, err = f.send(s)
	f.must("end the fault", end(f.ctx))
	if err != nil {
		f.kind("send whose answer is lost", err, mail.KindOutcomeUnknown)
	}
	f.settled(s, provider.OutcomeSent)
	if n := arrived(); n != 1 {
		f.Errorf("%d copies arrived, want 1", n)
	}
	f.onlyOne(f.role(mail.RoleSent).ID, s.letter)
}
