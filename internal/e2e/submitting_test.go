package e2e

import (
	"fmt"
	"net/smtp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// submitter is a mail program of one account: it sends by SMTP, and keeps its
// copies by IMAP.
type submitter struct {
	*scene
	address, account, password string
	imap                       *imapclient.Client
	sent                       string // the mailbox
}

func (s *scene) submitter(address string) *submitter {
	s.t.Helper()
	p := &submitter{scene: s, address: address, account: s.join(address)}
	s.inStep(address)
	p.password = s.appPassword(p.account)
	return s.submitterOf(p)
}

// submitterOf is the same program on a gateway that has been started anew.
func (s *scene) submitterOf(was *submitter) *submitter {
	s.t.Helper()
	p := &submitter{scene: s, address: was.address, account: was.account, password: was.password}
	c, err := imapclient.DialInsecure(s.imapDoor(), nil)
	if err == nil {
		s.t.Cleanup(func() { _ = c.Close() })
		err = c.Login(p.address, p.password).Wait()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	p.imap = c
	list, err := c.List("", "*", nil).Collect()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range list {
		for _, a := range l.Attrs {
			if a == imap.MailboxAttrSent {
				p.sent = l.Mailbox
			}
		}
	}
	return p
}

func (p *submitter) letter(to, subject string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s.%s>\r\nDate: Mon, 02 Jan 2026 15:04:05 +0000\r\n\r\nThis is about %[3]s.\r\n",
		p.address, to, subject, strings.ReplaceAll(subject, " ", "."), p.address)
}

// send submits a message, and gives what it is answered.
func (p *submitter) send(raw string, to ...string) error {
	p.t.Helper()
	c, err := smtp.Dial(p.smtpDoor())
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", p.address, p.password, "127.0.0.1")); err != nil {
		p.t.Fatal(err)
	}
	if err := c.Mail(p.address); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(raw)); err != nil {
		return err
	}
	return w.Close()
}

// keep stores a copy in Sent.
func (p *submitter) keep(raw string) (uid imap.UID) {
	p.t.Helper()
	cmd := p.imap.Append(p.sent, int64(len(raw)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	_, err := cmd.Write([]byte(raw))
	if err == nil {
		err = cmd.Close()
	}
	data, waitErr := cmd.Wait()
	if err != nil || waitErr != nil {
		p.t.Fatalf("%s: %v, %v", p.address, err, waitErr)
	}
	return data.UID
}

// find gives the UIDs of a mailbox's messages of a subject.
func (p *submitter) find(mailbox, subject string) []imap.UID {
	p.t.Helper()
	if _, err := p.imap.Select(mailbox, nil).Wait(); err != nil {
		p.t.Fatal(err)
	}
	data, err := p.imap.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: subject}}}, nil).Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	return data.AllUIDs()
}

// upstream counts the messages that the provider itself has in the account's
// mailboxes, drafts and all.
func (p *submitter) upstream() int {
	p.t.Helper()
	var list []struct{ ID string }
	p.control("GET", "/control/users/"+p.address+"/messages", "", &list)
	return len(list)
}

// TestOneSentCopy: what a mail program sends is in Sent once, whether it stores a
// copy of its own afterwards, meanwhile, before, or none.
func TestOneSentCopy(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, address := range []string{ada, alanAtGmail} {
		p := s.submitter(address)
		upstream := p.upstream()
		check := func(subject string, appended imap.UID) {
			t.Helper()
			upstream++
			p.eventually(subject+" is in Sent of "+address+" once", func() bool {
				here, there := len(p.find(p.sent, subject)), p.upstream()
				p.lastDiff = fmt.Sprintf("%d in %s, %d messages at the provider, want %d", here, p.sent, there, upstream)
				return here == 1 && there == upstream
			})
			if got := p.find(p.sent, subject); appended != 0 && got[0] != appended {
				t.Errorf("%s: the copy has the UID %d, and the program was told %d", subject, got[0], appended)
			}
		}
		send := func(subject string) string {
			t.Helper()
			raw := p.letter(grace, subject)
			if err := p.send(raw, grace); err != nil {
				t.Fatal(err)
			}
			return raw
		}
		send("stored by nobody")
		check("stored by nobody", 0)
		uid := p.keep(send("stored afterwards"))
		check("stored afterwards", uid)
		if uid == 0 {
			t.Errorf("%s: no UID for the copy", address)
		}
		if again := p.keep(p.letter(grace, "stored afterwards")); again != uid {
			t.Errorf("%s: stored again it has the UID %d, and had %d", address, again, uid)
		}
		var wg sync.WaitGroup
		wg.Go(func() { send("stored meanwhile") })
		wg.Wait() // it is answered; what the provider has done may not be known here yet
		uid = p.keep(p.letter(grace, "stored meanwhile"))
		check("stored meanwhile", uid)
		p.keep(p.letter(grace, "stored before"))
		send("stored before")
		check("stored before", 0)
		// Mail of before is no copy of anything.
		p.keep(p.letter(grace, "from an archive"))
		check("from an archive", 0)
	}
}

// TestSubmissionsThatFail: what is refused while the program waits it is told; what
// is refused later its user finds in the inbox. Neither is sent.
func TestSubmissionsThatFail(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, "outlook")
	p := s.submitter(ada)
	before := p.upstream()
	p.fault(ada, map[string]any{"match": "POST /me/messages/{id}/send", "status": 403})
	replies(t, "refused", p.send(p.letter(grace, "refused at once"), grace), 550, "")
	p.noFaults()
	p.control("PUT", "/control/faults", `[
		{"cloud": "microsoft", "user": "`+ada+`", "match": "POST /me/messages/{id}/send", "status": 503, "times": 1},
		{"cloud": "microsoft", "user": "`+ada+`", "match": "POST /me/messages/{id}/send", "status": 403, "times": 1}]`, nil)
	if err := p.send(p.letter(grace, "refused later"), grace); err != nil {
		t.Fatal(err)
	}
	var found []imap.UID
	p.eventually("a report is in the inbox", func() bool {
		found = p.find("INBOX", "Not sent: refused later")
		return len(found) > 0
	})
	section := &imap.FetchItemBodySection{Peek: true}
	list, err := p.imap.Fetch(imap.UIDSetNum(found...), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil || len(list) != 1 {
		t.Fatalf("%d reports: %v", len(list), err)
	}
	// Graph makes attachments of its parts, and loses nothing of them.
	for _, want := range []string{"message/delivery-status", "message/rfc822", "  " + grace, "Why: forbidden", "References: <refused.later."} {
		if raw := string(list[0].FindBodySection(section)); !strings.Contains(raw, want) {
			t.Errorf("the report has no %q:\n%s", want, raw)
		}
	}
	if n := p.upstream(); n != before+1 { // the report
		t.Errorf("there are %d messages, and there were %d", n, before)
	}
	if len(p.find("INBOX", "refused at once")) != 0 {
		t.Error("what was told is reported, too")
	}
}
