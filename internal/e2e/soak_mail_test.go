package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mailPrograms are the soak's users of the doors for mail programs: some submit,
// one follows every inbox by IMAP and keeps a ledger of what each UID was, and
// mbsync, where it is installed, syncs an account time and again.
type mailPrograms struct {
	imap, smtp string
	passwords  map[string]string

	mu   sync.Mutex
	sent map[string]submitted // by subject, once the gateway has said 250
	// ledger by address, UIDVALIDITY and UID; gone are those that went.
	ledger map[ledgerKey]string
	gone   map[ledgerKey]bool
	wrong  []string
	// looks counts how often an inbox was read from end to end, syncs how often
	// mbsync succeeded.
	looks, syncs int
}

// openMailPrograms makes an app password for every account.
func (s *soak) openMailPrograms() {
	s.t.Helper()
	s.mail.sent, s.mail.ledger, s.mail.gone = map[string]submitted{}, map[ledgerKey]string{}, map[ledgerKey]bool{}
	s.mail.passwords = map[string]string{}
	for _, address := range soakAddresses {
		s.mail.passwords[address] = s.appPassword(s.account(address))
	}
}

// submitByMail submits over SMTP as a mail program does: until it is told 250,
// the same message again.
func (s *soak) submitByMail(ctx context.Context, rng *rand.Rand) error {
	from := soakAddresses[rng.IntN(len(soakAddresses))]
	to := other(rng, from)
	subject := s.subject("mailed")
	s.hist.expect(from, subject)
	s.hist.expect(to, subject)
	raw := strings.Replace(letter(to, subject), "From: Eve <eve@fabrikam.example>", "From: <"+from+">", 1)
	for {
		err := s.trySubmit(ctx, from, to, raw)
		if err == nil {
			s.mail.mu.Lock()
			s.mail.sent[subject] = submitted{from: from, to: to}
			s.mail.mu.Unlock()
			return nil
		}
		if refused := (*textproto.Error)(nil); errors.As(err, &refused) && refused.Code >= 500 {
			return fmt.Errorf("%q of %s is refused: %w", subject, from, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (s *soak) trySubmit(ctx context.Context, from, to, raw string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.mail.smtp)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", from, s.mail.passwords[from], "127.0.0.1")); err != nil {
		return err
	}
	if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(raw)); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the answer to the message
		return err
	}
	_ = c.Quit() // it is accepted, whatever becomes of the connection
	return nil
}

// followInbox reads an inbox, and what comes while it idles, until ctx ends.
func (s *soak) followInbox(ctx context.Context, address string) {
	for ctx.Err() == nil {
		p, err := dialMail(s.mail.imap, address, s.mail.passwords[address])
		if err == nil {
			err = s.follow1(ctx, p, address)
			p.close()
		}
		if violation := (*badResponse)(nil); errors.As(err, &violation) {
			s.mail.mu.Lock()
			s.mail.wrong = append(s.mail.wrong, address+": "+err.Error())
			s.mail.mu.Unlock()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *soak) follow1(ctx context.Context, p *mailProgram, address string) error {
	p.patience = 200 * time.Millisecond
	if err := p.open("INBOX"); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := p.complete(true); err != nil {
			return err
		}
		s.enter1(p, address)
		if err := p.must("NOOP"); err != nil {
			return err
		}
		if err := p.must("IDLE"); err != nil {
			return err
		}
	}
	return nil
}

// enter1 holds a view against the ledger.
func (s *soak) enter1(p *mailProgram, address string) {
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	s.mail.looks++
	seen := map[ledgerKey]bool{}
	for _, v := range p.view {
		if v.digest == "" {
			continue // it went while it was asked for
		}
		k := ledgerKey{address, p.validity, v.uid}
		seen[k] = true
		switch was, ok := s.mail.ledger[k]; {
		case !ok:
			s.mail.ledger[k] = v.digest
		case was != v.digest:
			s.mail.wrong = append(s.mail.wrong, fmt.Sprintf("%s: UID %d is another message", address, v.uid))
		case s.mail.gone[k]:
			s.mail.wrong = append(s.mail.wrong, fmt.Sprintf("%s: UID %d has returned", address, v.uid))
		}
	}
	for k := range s.mail.ledger {
		if k.address == address && k.validity == p.validity && !seen[k] {
			s.mail.gone[k] = true
		}
	}
}

// mbsync gives the command that syncs an account, nil where it is not installed.
func (s *soak) mbsync(address string) (run func(ctx context.Context) error, inbox string) {
	name, err := exec.LookPath("mbsync")
	if err != nil {
		return nil, ""
	}
	host, port, _ := net.SplitHostPort(s.mail.imap)
	dir := filepath.Join(s.dir, "mbsync")
	rc := fmt.Sprintf("IMAPAccount a\nHost %s\nPort %s\nUser %q\nPass %q\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\nSubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nExpunge Both\nSyncState *\n",
		host, port, address, s.mail.passwords[address], dir, dir)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, "-c", filepath.Join(dir, "rc"), "-a")
		cmd.Env = append(os.Environ(), "HOME="+dir)
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}, filepath.Join(dir, "INBOX")
}

// useMail runs the programs that follow until ctx ends.
func (s *soak) useMail(ctx context.Context) {
	var group sync.WaitGroup
	for _, address := range soakAddresses {
		group.Go(func() { s.followInbox(ctx, address) })
	}
	if sync, _ := s.mbsync(soakAddresses[0]); sync != nil {
		group.Go(func() {
			for ctx.Err() == nil {
				// Only the gateway is killed: how mbsync comes out of its own death is
				// not what this looks at.
				if sync(context.WithoutCancel(ctx)) == nil { // the gateway may be dead just now
					s.mail.mu.Lock()
					s.mail.syncs++
					s.mail.mu.Unlock()
				}
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	group.Wait()
}

// checkMail: what was accepted over SMTP is there once at both ends, no UID was
// ever another message, and what a real program has is what the provider has.
func (s *soak) checkMail() {
	s.t.Helper()
	found := map[string]map[string]int{}
	for _, address := range soakAddresses {
		found[address] = s.subjectsOf(address)
	}
	for subject, sub := range s.mail.sent {
		for _, address := range []string{sub.from, sub.to} {
			if n := found[address][subject]; n != 1 {
				s.t.Errorf("%q of %s is in the mailbox of %s %d times: %v", subject, sub.from, address, n, s.copies(address, subject))
			}
		}
	}
	for _, wrong := range s.mail.wrong {
		s.t.Error(wrong)
	}
	s.t.Logf("mail programs: %d messages submitted, %d views, %d UIDs of which %d went, %d syncs by mbsync",
		len(s.mail.sent), s.mail.looks, len(s.mail.ledger), len(s.mail.gone), s.mail.syncs)
	if s.mail.looks == 0 || len(s.mail.ledger) == 0 {
		s.t.Error("no inbox was ever read")
	}
	s.control("DELETE", "/control/faults", "", nil)
	for _, address := range soakAddresses {
		if d := cmp.Diff(s.inboxDigests(address), s.read(address)); d != "" {
			s.t.Errorf("%s: what IMAP gives of the inbox (-provider +IMAP):\n%s", address, d)
		}
	}
	sync, inbox := s.mbsync(soakAddresses[0])
	if sync == nil {
		s.t.Log("mbsync is not here; `make test-clients` installs it")
		return
	}
	if err := sync(s.ctx()); err != nil {
		s.t.Fatal(err)
	}
	files := func() map[string]bool {
		out := map[string]bool{}
		for _, sub := range []string{"cur", "new"} {
			entries, err := os.ReadDir(filepath.Join(inbox, sub))
			if err != nil {
				s.t.Fatal(err)
			}
			for _, e := range entries {
				out[filepath.Join(sub, e.Name())] = true
			}
		}
		return out
	}
	before := files()
	if err := sync(s.ctx()); err != nil {
		s.t.Fatal(err)
	}
	if after := files(); !maps.Equal(before, after) {
		s.t.Errorf("mbsync transferred something in a second run: %v\n%v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	missing := map[string]int{}
	for _, digest := range s.inboxDigests(soakAddresses[0]) {
		missing[digest]++
	}
	for name := range before {
		raw, err := os.ReadFile(filepath.Join(inbox, name))
		if err != nil {
			s.t.Fatal(err)
		}
		sum := sha256.Sum256(asSent(raw))
		digest := hex.EncodeToString(sum[:])
		if missing[digest]--; missing[digest] < 0 {
			header, _, _ := bytes.Cut(raw, []byte("\n\n"))
			s.t.Errorf("mbsync has %s, which the provider's inbox has not, or has less often:\n%s", name, header)
		}
	}
	for digest, n := range missing {
		if n > 0 {
			s.t.Errorf("mbsync has a message %d times less than the provider's inbox: %s", n, digest)
		}
	}
}

// read gives the digests of what a program that comes now reads of an inbox.
func (s *soak) read(address string) []string {
	s.t.Helper()
	p, err := dialMail(s.mail.imap, address, s.mail.passwords[address])
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.close()
	if err := errors.Join(p.open("INBOX"), p.complete(true)); err != nil {
		s.t.Fatal(err)
	}
	var digests []string
	for _, v := range p.view {
		digests = append(digests, v.digest)
	}
	slices.Sort(digests)
	return digests
}

var addedTUID = regexp.MustCompile(`(?m)^X-TUID: .{12}\n`)

// asSent takes off what mbsync did to a message: the field by which it knows again
// what it stored, and the line ends of its files.
func asSent(raw []byte) []byte {
	return bytes.ReplaceAll(addedTUID.ReplaceAll(raw, nil), []byte("\n"), []byte("\r\n"))
}

// copies tells where the messages of a subject are.
func (s *soak) copies(address, subject string) (where []string) {
	var got struct {
		Account struct {
			Messages struct {
				Edges []struct {
					Node struct {
						ProviderID, MessageID string
						Keywords              []string
						Mailboxes             []struct{ Name string }
					}
				}
			}
		}
	}
	s.query(`query($id: ID!, $s: String!) { account(id: $id) { messages(first: 20, filter: {subject: $s}) {
		edges { node { providerId messageId keywords mailboxes { name } } } } } }`, map[string]any{"id": s.account(address), "s": subject}, &got)
	for _, e := range got.Account.Messages.Edges {
		where = append(where, fmt.Sprintf("%s <%s> %v in %v", e.Node.ProviderID, e.Node.MessageID, e.Node.Keywords, e.Node.Mailboxes))
	}
	return where
}
