package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLedger: what a UID once meant it means for ever. A ledger of (UIDVALIDITY,
// UID) to the SHA-256 of the bytes is kept over kills of the gateway in the
// middle of a mail program's commands, forgotten cursors, a renamed mailbox,
// moves upstream, accounts that are connected again, and data of the format of
// before. No entry ever changes, and none that went ever returns.
//
// `make test` kills a few times; SOAK=1 kills fifty times.
func TestLedger(t *testing.T) {
	t.Parallel()
	kills := 8
	if os.Getenv("SOAK") != "" {
		kills = 50
	}
	s := newScene(t, unmetered)
	l := &ledger{scene: s, entries: map[ledgerKey]*entryOf{}, passwords: map[string]string{}}
	for _, address := range []string{ada, alanAtGmail} {
		l.accounts = append(l.accounts, address)
		account := s.join(address)
		l.passwords[address] = s.appPassword(account)
		for i := range 20 {
			s.deliver(address, fmt.Sprintf("before %d", i))
		}
		s.query(`mutation($a: ID!) { createMailbox(input: {account: $a, name: "Aside"}) { id } }`, map[string]any{"a": account}, nil)
		s.inStep(address)
	}
	l.check("at first")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range kills {
		l.round(rng, i)
		l.check(fmt.Sprintf("after kill %d", i+1))
	}
	for _, address := range l.accounts {
		l.join(address) // once more: the same account
		l.inStep(address)
	}
	l.check("after connecting again")
	l.halt()
	outdate(t, filepath.Join(l.dir, "data"))
	l.start()
	migrated(t, filepath.Join(l.dir, "data"))
	for _, address := range l.accounts {
		l.inStep(address)
	}
	l.check("after a migration from the format of before")
	t.Logf("%d entries, %d of them gone", len(l.entries), l.gone())
	if l.gone() == 0 {
		t.Error("nothing ever went: the ledger proved little")
	}
	for _, program := range []string{"mbsync", "offlineimap"} {
		t.Run(program, func(t *testing.T) { l.syncs(t, program) })
	}
}

type ledgerKey struct {
	address       string
	validity, uid uint32
}

type entryOf struct {
	digest, mailbox string
	gone            bool
}

type ledger struct {
	*scene
	accounts  []string
	passwords map[string]string
	entries   map[ledgerKey]*entryOf
}

func (l *ledger) gone() (n int) {
	for _, e := range l.entries {
		if e.gone {
			n++
		}
	}
	return n
}

// check reads every mailbox of every account and holds it against the ledger.
func (l *ledger) check(when string) {
	l.t.Helper()
	for _, address := range l.accounts {
		p, err := dialMail(l.imapDoor(), address, l.passwords[address])
		if err != nil {
			l.t.Fatalf("%s: %v", when, err)
		}
		defer p.close()
		names, err := p.list()
		if err != nil || len(names) < 5 {
			l.t.Fatalf("%s: %d mailboxes: %v", when, len(names), err)
		}
		seen := map[ledgerKey]bool{}
		for _, name := range names {
			if err := p.open(name); err != nil {
				l.t.Fatalf("%s: %v", when, err)
			}
			top := uint32(0)
			for k, e := range l.entries {
				if k.address == address && k.validity == p.validity {
					top = max(top, k.uid)
					e.mailbox = name
				}
			}
			if err := p.complete(true); err != nil {
				l.t.Fatalf("%s, %s: %v", when, name, err)
			}
			for _, v := range p.view {
				k := ledgerKey{address, p.validity, v.uid}
				seen[k] = true
				e := l.entries[k]
				switch {
				case e == nil && v.uid <= top:
					l.t.Errorf("%s: UID %d of %s is new, and %d was given before", when, v.uid, name, top)
				case e == nil:
					l.entries[k] = &entryOf{digest: v.digest, mailbox: name}
				case e.gone:
					l.t.Errorf("%s: UID %d of %s has returned", when, v.uid, name)
				case e.digest != v.digest:
					l.t.Errorf("%s: UID %d of %s is another message", when, v.uid, name)
				}
			}
		}
		for k, e := range l.entries {
			if k.address == address && !seen[k] {
				e.gone = true
			}
		}
	}
}

// list gives the names of the mailboxes that can be selected.
func (c *mailProgram) list() (names []string, err error) {
	c.tags++
	tag := fmt.Sprintf("t%d", c.tags)
	if _, err := fmt.Fprintf(c.conn, "%s LIST \"\" \"*\"\r\n", tag); err != nil {
		return nil, err
	}
	for {
		text, _, err := c.response()
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(text, tag+" ") {
			return names, nil
		}
		rest, ok := strings.CutPrefix(text, "* LIST (")
		if !ok || strings.Contains(strings.ToLower(rest), `\noselect`) {
			continue
		}
		_, name, _ := strings.Cut(rest, `"/" `)
		names = append(names, strings.Trim(name, `"`))
	}
}

// round changes things on all sides and kills the gateway in the middle of a
// mail program's commands.
func (l *ledger) round(rng *rand.Rand, n int) {
	l.t.Helper()
	address := l.accounts[n%len(l.accounts)]
	path := "/control/users/" + address + "/messages"
	var list []struct{ ID string }
	l.control(http.MethodGet, path, "", &list)
	for range 3 {
		where := []string{"inbox", "archive", "deleteditems"}[rng.IntN(3)]
		l.control(http.MethodPatch, path+"/"+list[rng.IntN(len(list))].ID, fmt.Sprintf(`{"mailbox": %q}`, l.nameAt(address, where)), nil)
	}
	l.deliver(address, fmt.Sprintf("round %d", n))
	switch n % 4 {
	case 1:
		l.control(http.MethodPost, "/control/users/"+address+"/forget-cursors", "", nil)
	case 3:
		account := l.account(address)
		for _, from := range []string{"Aside", "Aside renamed"} {
			if id := l.mailboxNamed(account, from); id != "" {
				to := map[string]string{"Aside": "Aside renamed", "Aside renamed": "Aside"}[from]
				l.query(`mutation($id: ID!, $to: String!) { renameMailbox(input: {id: $id, name: $to}) { id } }`, map[string]any{"id": id, "to": to}, nil)
				break
			}
		}
	}
	p, err := dialMail(l.imapDoor(), address, l.passwords[address])
	if err != nil {
		l.t.Fatal(err)
	}
	defer p.close()
	if err := p.open("INBOX"); err != nil {
		l.t.Fatal(err)
	}
	if err := p.complete(false); err != nil {
		l.t.Fatal(err)
	}
	at, done := rng.IntN(12), make(chan struct{})
	struck := make(chan struct{})
	go func() {
		defer close(done)
		aside := l.nameAt(address, "archive")
		if aside == "inbox" {
			aside = "Trash"
		}
		for i := range 12 {
			if i == at {
				close(struck)
			}
			uid := p.view[rng.IntN(len(p.view))].uid
			command := []string{"UID STORE %d +FLAGS (\\Seen)", "UID COPY %d INBOX", "UID MOVE %d \"" + aside + "\"", "UID STORE %d +FLAGS (\\Deleted)", "UID EXPUNGE %d"}[i%5]
			if _, err := p.do(fmt.Sprintf(command, uid), nil); err != nil {
				return // the gateway is dead
			}
			if i%5 == 0 {
				if _, err := p.do("APPEND INBOX (\\Seen)", []byte(letter(address, fmt.Sprintf("appended %d %d", n, i)))); err != nil {
					return
				}
			}
			if len(p.view) == 0 {
				return
			}
		}
	}()
	select {
	case <-struck:
	case <-done:
	}
	l.halt()
	<-done
	l.start()
	for _, address := range l.accounts {
		l.eventually(address+" is in step", func() bool { return l.state(l.account(address)) == "READY" })
		l.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": l.account(address)}, nil)
	}
}

// nameAt is what a mailbox of a purpose is called where an address lives. Where
// there is no archive, the inbox does.
func (l *ledger) nameAt(address, purpose string) string {
	if address == ada {
		return purpose
	}
	return map[string]string{"inbox": "INBOX", "archive": "INBOX", "deleteditems": "TRASH"}[purpose]
}

// mailboxNamed finds a mailbox by its name, "" where there is none.
func (d *demo) mailboxNamed(account, name string) string {
	d.t.Helper()
	var got struct {
		Account struct{ Mailboxes []struct{ ID, Name string } }
	}
	d.query(`query($id: ID!) { account(id: $id) { mailboxes { id name } } }`, map[string]any{"id": account}, &got)
	for _, m := range got.Account.Mailboxes {
		if m.Name == name {
			return m.ID
		}
	}
	return ""
}

// syncs has a real program pull an account, and again after a kill and another
// start: then it transfers nothing.
func (l *ledger) syncs(t *testing.T, name string) {
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not here; `make test-clients` installs it", name)
	}
	dir := t.TempDir()
	host, port, _ := strings.Cut(l.imapDoor(), ":")
	for _, address := range l.accounts {
		mail := filepath.Join(dir, address)
		rc := fmt.Sprintf("IMAPAccount a\nHost %s\nPort %s\nUser %q\nPass %q\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\nSubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
			host, port, address, l.passwords[address], mail, mail)
		args := []string{"-c", filepath.Join(dir, "rc"), "-a"}
		if name == "offlineimap" {
			rc = fmt.Sprintf("[general]\naccounts = A\nmetadata = %s/meta\nui = quiet\nfsync = False\n[Account A]\nlocalrepository = L\nremoterepository = R\n[Repository L]\ntype = Maildir\nlocalfolders = %s\n[Repository R]\ntype = IMAP\nremotehost = %s\nremoteport = %s\nremoteuser = %s\nremotepass = %s\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n",
				mail, mail, host, port, address, l.passwords[address])
			args = []string{"-c", filepath.Join(dir, "rc"), "-o"}
		}
		if err := os.MkdirAll(mail, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600); err != nil {
			t.Fatal(err)
		}
		pull := func() map[string]int64 {
			cmd := exec.Command(name, args...)
			cmd.Env = append(os.Environ(), "HOME="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			files := map[string]int64{}
			for _, pattern := range []string{"*/cur/*", "*/new/*", "*/*/cur/*", "*/*/new/*"} {
				names, err := filepath.Glob(filepath.Join(mail, pattern))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range names {
					info, err := os.Stat(f)
					if err != nil {
						t.Fatal(err)
					}
					files[f] = info.ModTime().UnixNano()
				}
			}
			return files
		}
		first := pull()
		l.halt()
		l.start()
		l.eventually(address+" is in step", func() bool { return l.state(l.account(address)) == "READY" })
		if second := pull(); !maps.Equal(first, second) || len(first) == 0 {
			t.Errorf("%s of %s transferred something after a kill: %v", name, address, difference(first, second))
		}
		if err := os.RemoveAll(filepath.Join(dir, "meta")); err != nil {
			t.Fatal(err)
		}
	}
}

// difference names the files that only one of two has.
func difference(a, b map[string]int64) (names []string) {
	for _, pair := range [][2]map[string]int64{{a, b}, {b, a}} {
		for name := range pair[0] {
			if _, ok := pair[1][name]; !ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
