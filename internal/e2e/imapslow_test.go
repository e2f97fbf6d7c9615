package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestNoEarlyOK: while a provider takes two seconds for every answer, no command
// that writes is answered OK before the provider has done it, and other
// connections are answered as ever.
func TestNoEarlyOK(t *testing.T) {
	t.Parallel()
	for _, address := range []string{ada, alanAtGmail} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, unmetered)
			account := s.join(address)
			for i := range 6 {
				s.deliver(address, fmt.Sprintf("slow %d", i))
			}
			s.query(`mutation($a: ID!) { createMailbox(input: {account: $a, name: "Aside"}) { id } }`, map[string]any{"a": account}, nil)
			s.inStep(address)
			password := s.appPassword(account)
			var conns [2]*mailProgram
			for i := range conns {
				p, err := dialMail(s.imapDoor(), address, password)
				if err == nil {
					err = p.open("INBOX")
				}
				if err == nil {
					err = p.complete(true)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer p.close()
				conns[i] = p
			}
			s.eventually("the new mailbox is listed", func() bool { return conns[0].must("STATUS Aside (MESSAGES)") == nil })
			for _, c := range slowWrites(s, address, conns[0]) {
				s.slowWrite(t, c, conns[0], conns[1], address)
			}
			s.refusedWrites(t, address, conns[0])
		})
	}
}

// slowWrite is a command and how to see at the provider that it was done.
type slowWrite struct {
	command string
	literal string
	done    func() bool
}

func slowWrites(s *scene, address string, p *mailProgram) []slowWrite {
	inbox := func() int { return len(s.inboxDigests(address)) }
	before := inbox()
	flagged := func() (n int) {
		for _, m := range s.truth(address) {
			if slices.Contains(m.Keywords, "$flagged") {
				n++
			}
		}
		return n
	}
	// A mailbox that was deleted may lie in the trash.
	named := func(name string) func() bool {
		return func() bool {
			var got struct {
				Account struct{ Mailboxes []struct{ Path string } }
			}
			s.query(`query($id: ID!) { account(id: $id) { mailboxes { path } } }`, map[string]any{"id": s.account(address)}, &got)
			return slices.ContainsFunc(got.Account.Mailboxes, func(m struct{ Path string }) bool { return m.Path == name })
		}
	}
	aside := func() (n int) {
		id := s.mailboxNamed(s.account(address), "Aside")
		for _, m := range s.truth(address) {
			if slices.Contains(m.Mailboxes, id) {
				n++
			}
		}
		return n
	}
	return []slowWrite{
		{`STORE 1:3 +FLAGS (\Flagged)`, "", func() bool { return flagged() == 3 }},
		{fmt.Sprintf(`UID COPY %d Aside`, p.view[0].uid), "", func() bool { return aside() == 1 }},
		{fmt.Sprintf(`UID MOVE %d Aside`, p.view[1].uid), "", func() bool { return aside() == 2 && inbox() == before-1 }},
		{`APPEND INBOX (\Seen)`, letter(address, "appended slowly"), func() bool { return inbox() == before }},
		{`STORE 1 +FLAGS (\Deleted)`, "", nil}, // ours alone
		{"EXPUNGE", "", func() bool { return inbox() == before-1 }},
		{"CREATE Newer", "", named("Newer")},
		{"RENAME Newer Renamed", "", named("Renamed")},
		{"DELETE Renamed", "", func() bool { return !named("Renamed")() }},
	}
}

// slowWrite runs a command while the provider is slow. Another connection reads
// meanwhile, and must be answered before.
func (s *scene) slowWrite(t *testing.T, c slowWrite, p, other *mailProgram, address string) {
	t.Helper()
	var slow []string
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		slow = append(slow, fmt.Sprintf(`{"user": %q, "match": "%s /", "delay_ms": 2000}`, address, method))
	}
	s.control("PUT", "/control/faults", "["+strings.Join(slow, ",")+"]", nil)
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		var literal []byte
		if c.literal != "" {
			literal = []byte(c.literal)
		}
		text, err := p.do(c.command, literal)
		answered <- answer{text: text, err: err}
	}()
	for _, command := range []string{"NOOP", "FETCH 1:* (UID FLAGS RFC822.SIZE)", `STATUS Aside (MESSAGES)`, `UID SEARCH UNSEEN`, "FETCH 1 BODY.PEEK[]"} {
		if err := other.must(command); err != nil {
			t.Fatalf("%s, beside %s: %v", command, c.command, err)
		}
		if c.done == nil {
			continue
		}
		select {
		case a := <-answered:
			t.Fatalf("%s was answered %q %v before %s of another connection, though the provider takes two seconds", c.command, a.text, a.err, command)
		default:
		}
	}
	a := <-answered
	s.noFaults()
	if a.err != nil || !strings.HasPrefix(a.text, "OK") {
		t.Fatalf("%s: %s %v", c.command, a.text, a.err)
	}
	if c.done != nil && !c.done() {
		t.Errorf("%s was answered %s, and the provider has not done it", c.command, a.text)
	}
	if err := p.complete(false); err != nil {
		t.Errorf("after %s: %v", c.command, err)
	}
}

// refusedWrites: what the provider refuses is answered NO, and nothing goes.
func (s *scene) refusedWrites(t *testing.T, address string, p *mailProgram) {
	t.Helper()
	if err := p.must(`STORE 1 +FLAGS (\Deleted)`); err != nil { // ours alone
		t.Fatal(err)
	}
	before := fmt.Sprint(p.view)
	status := 403
	if address == alanAtGmail {
		status = 400 // 403 is what Gmail says of quotas, too, and passes
	}
	s.control("PUT", "/control/faults", fmt.Sprintf(`{"user": %q, "status": %d}`, address, status), nil)
	defer s.noFaults()
	for _, command := range []string{`STORE 1 -FLAGS (\Flagged)`, "COPY 1 Aside", "MOVE 1 Aside", "EXPUNGE", "CREATE Refused"} {
		answer, err := p.do(command, nil)
		if err != nil || !strings.HasPrefix(answer, "NO") {
			t.Errorf("%s, which the provider refuses, was answered %q %v", command, answer, err)
		}
	}
	if answer, err := p.do("APPEND INBOX", []byte(letter(address, "refused"))); err != nil || !strings.HasPrefix(answer, "NO") {
		t.Errorf("APPEND, which the provider refuses, was answered %q %v", answer, err)
	}
	if err := p.must("FETCH 1:* (UID FLAGS)"); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprint(p.view); after != before {
		t.Errorf("refused commands changed what is seen\n%s\n%s", before, after)
	}
}
