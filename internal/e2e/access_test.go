package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// TestAppPasswords: what opens the doors for mail programs, what does not, and
// in which words.
func TestAppPasswords(t *testing.T) {
	t.Parallel()
	x := openDoors(t, startDemo(t))
	for _, c := range []struct {
		name string
		run  func(*doors, *testing.T)
	}{
		{"libraries", (*doors).libraries}, {"clear text", (*doors).clearText}, {"wrong", (*doors).wrong}, {"scopes", (*doors).scopes},
		{"hidden capabilities", (*doors).hidden}, {"tokens", (*doors).tokens}, {"revoked", (*doors).revoked},
		{"disconnected", (*doors).disconnected}, {"consent taken back", (*doors).consentTakenBack}, {"paused", (*doors).paused},
		{"commands", (*doors).commands}, {"guessing", (*doors).guessing},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer := x.t
			x.t = t
			defer func() { x.t = outer }()
			c.run(x, t)
		})
	}
}

// libraries: Go's client and Python's read by the authority alone.
func (x *doors) libraries(t *testing.T) {
	for address, l := range x.logins {
		c, err := x.login(strings.ToUpper(address), strings.ToUpper(strings.ReplaceAll(l.Password, "-", " ")))
		if err != nil {
			t.Fatal(err)
		}
		box, err := c.Select("INBOX", nil).Wait()
		if err != nil || box.NumMessages == 0 {
			t.Fatalf("%s: %+v %v", address, box, err)
		}
		section := &imap.FetchItemBodySection{Peek: true}
		list, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{Envelope: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil || len(list) != 1 || list[0].Envelope.Subject == "" || len(list[0].FindBodySection(section)) == 0 {
			t.Errorf("%s: %+v %v", address, list, err)
		}
		if err := x.submit(address, l.Password); err != nil {
			t.Error(err)
		}
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3, whose imaplib and smtplib are tried")
	}
	l := x.logins[ada]
	cmd := exec.Command(python, "-c", pythonLogin, x.imap, x.smtp, x.caFile, l.User, l.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("imaplib, smtplib: %v\n%s", err, out)
	}
}

const pythonLogin = `
import imaplib, smtplib, ssl, sys
imap, smtp, ca, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
host, port = imap.rsplit(":", 1)
m = imaplib.IMAP4(host, int(port))
m.starttls(context)
m.login(user, password)
typ, count = m.select("INBOX", readonly=True)
assert typ == "OK" and int(count[0]) > 0, (typ, count)
typ, data = m.uid("FETCH", "1:*", "(FLAGS RFC822.SIZE)")
assert typ == "OK" and len(data) == int(count[0]), (typ, data)
m.logout()
host, port = smtp.rsplit(":", 1)
s = smtplib.SMTP(host, int(port))
s.starttls(context=context)
s.login(user, password)
s.quit()
`

// clearText: the demo takes passwords without TLS, on this machine.
func (x *doors) clearText(t *testing.T) {
	c, err := imapclient.DialInsecure(x.imap, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(ada, x.logins[ada].Password).Wait(); err != nil {
		t.Error(err)
	}
}

// wrong: whatever is wrong, the answer is the same.
func (x *doors) wrong(t *testing.T) {
	for _, c := range [][2]string{{ada, "0000-0000-0000-0000-0000-0000-0000"}, {"nobody@contoso.example", x.logins[ada].Password}, {grace, x.logins[ada].Password}, {ada, x.info.APIKey}} {
		_, err := x.login(c[0], c[1])
		answers(t, c[0], err, imap.ResponseCodeAuthenticationFailed, "ser name or password is wrong")
		replies(t, c[0], x.submit(c[0], c[1]), 535, "5.7.8")
	}
	if _, err := x.login(ada, x.logins[ada].Password); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// scopes: a password opens what it names.
func (x *doors) scopes(t *testing.T) {
	account := x.account(grace)
	_, reads := x.create(account, map[string]any{"scopes": []string{"IMAP_READ"}})
	_, sends := x.create(account, map[string]any{"scopes": []string{"SMTP"}})
	c, err := x.login(grace, reads)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	seen := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}
	var e *imap.Error
	if err := c.Store(imap.SeqSetNum(1), seen, nil).Close(); !errors.As(err, &e) || e.Type != imap.StatusResponseTypeNo {
		t.Errorf("who may only read has written: %v", err)
	}
	if _, err := c.List("", "*", nil).Collect(); err != nil {
		t.Error(err)
	}
	replies(t, "a password that reads", x.submit(grace, reads), 535, "smtp")
	_, err = x.login(grace, sends)
	if !errors.As(err, &e) || e.Type != imap.StatusResponseTypeNo || e.Code == imap.ResponseCodeAuthenticationFailed {
		t.Errorf("a password that sends: %v", err)
	}
	if err := x.submit(grace, sends); err != nil {
		t.Error(err)
	}
}

// hidden: a program that gets a capability wrong is not told of it.
func (x *doors) hidden(t *testing.T) {
	_, secret := x.create(x.account(grace), map[string]any{"hideCapabilities": []string{"IDLE", "move"}})
	c, err := x.login(grace, secret)
	if err != nil {
		t.Fatal(err)
	}
	caps := c.Caps()
	for _, hidden := range []imap.Cap{imap.CapIdle, imap.CapMove} {
		if _, told := caps[hidden]; told { // Has thinks of what IMAP4rev2 means, too
			t.Errorf("it is told of %s", hidden)
		}
	}
	if !caps.Has(imap.CapUIDPlus) {
		t.Errorf("it is told of %v", caps)
	}
	// Untold is not forbidden.
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if idle, err := c.Idle(); err != nil {
		t.Errorf("IDLE, untold: %v", err)
	} else if err := errors.Join(idle.Close(), idle.Wait()); err != nil {
		t.Errorf("IDLE, untold: %v", err)
	}
	out, err := exec.Command(program("postern"), "-c", x.info.Config, "app-passwords", "create", grace, "x", "--hide", "CONDSTORE").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `"CONDSTORE" is none of APPENDLIMIT, BINARY, CHILDREN, `) {
		t.Errorf("hiding what there is not: %v\n%s", err, out)
	}
}

// tokens: an API key and an app password as bearer tokens (RFC 7628).
func (x *doors) tokens(t *testing.T) {
	for what, token := range map[string]string{"API key": x.info.APIKey, "app password": x.logins[ada].Password} {
		c := x.dial()
		if err := c.Authenticate(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: ada, Token: token})); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := x.dial()
	if err := c.Authenticate(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: ada, Token: "psk_nobody"})); err == nil {
		t.Error("a token that nobody gave")
	}
}

// revoked: whoever is there is told to go, also while idling.
func (x *doors) revoked(t *testing.T) {
	id, secret := x.create(x.account(grace), nil)
	c, err := x.login(grace, secret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x.login(grace, x.logins[grace].Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	for range 2 { // again changes nothing
		x.query(`mutation($id: ID!) { revokeAppPassword(id: $id) }`, map[string]any{"id": id}, nil)
	}
	x.leaves(t, c)
	_, err = x.login(grace, secret)
	answers(t, "a revoked password", err, imap.ResponseCodeAuthenticationFailed, "")
	if err := other.Noop().Wait(); err != nil {
		t.Errorf("another password's connection: %v", err)
	}
	var got struct {
		Account struct {
			AppPasswords []struct{ ID, LastUsedAt string }
		}
	}
	x.query(`query($a: ID!) { account(id: $a) { appPasswords { id lastUsedAt } } }`, map[string]any{"a": x.account(grace)}, &got)
	if slices.ContainsFunc(got.Account.AppPasswords, func(p struct{ ID, LastUsedAt string }) bool { return p.ID == id }) {
		t.Error("a revoked password is listed")
	}
}

// leaves waits until the server has ended a connection.
func (x *doors) leaves(t *testing.T, c *imapclient.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-c.Closed():
	case <-ctx.Done():
		t.Error("the connection goes on")
	}
}

// disconnected: with an account its passwords and connections end.
func (x *doors) disconnected(t *testing.T) {
	const carol = "carol@contoso.example"
	account := x.connect(carol, nil)
	_, secret := x.create(account, nil)
	c, err := x.login(carol, secret)
	if err != nil {
		t.Fatal(err)
	}
	x.query(`mutation($id: ID!) { disconnectAccount(id: $id) }`, map[string]any{"id": account}, nil)
	x.leaves(t, c)
	_, err = x.login(carol, secret)
	answers(t, "an account that is gone", err, imap.ResponseCodeAuthenticationFailed, "")
	if x.join(carol) != account {
		t.Fatal("connected again it is another account")
	}
	_, err = x.login(carol, secret)
	answers(t, "connected again", err, imap.ResponseCodeAuthenticationFailed, "")
}

// consentTakenBack: no password is asked for, and the owner reads what to do.
func (x *doors) consentTakenBack(t *testing.T) {
	const dave = "dave@contoso.example"
	account := x.connect(dave, nil)
	_, secret := x.create(account, nil)
	there, err := x.login(dave, secret)
	if err != nil {
		t.Fatal(err)
	}
	x.control("POST", "/control/users/"+dave+"/revoke", "", nil)
	x.tryMailbox(account, "x") // meets it
	x.eventually("the grant has expired", func() bool { return x.state(account) == "GRANT_EXPIRED" })
	_, err = x.login(dave, secret)
	answers(t, "after the consent", err, imap.ResponseCodeUnavailable, "follow its link to reconnect")
	replies(t, "after the consent", x.submit(dave, secret), 454, "4.7.0")
	_, err = x.login(dave, secret+"x")
	answers(t, "a wrong password", err, imap.ResponseCodeAuthenticationFailed, "")
	// What is mirrored can still be read by who is there.
	if _, err := there.Select("INBOX", nil).Wait(); err != nil {
		t.Errorf("who was there: %v", err)
	}
}

func (x *doors) paused(t *testing.T) {
	const erin = "erin@contoso.example"
	account := x.connect(erin, nil)
	_, secret := x.create(account, nil)
	pause := func(yes bool) {
		x.query(`mutation($id: ID!, $p: Boolean!) { updateAccount(input: {id: $id, paused: $p}) { id } }`, map[string]any{"id": account, "p": yes}, nil)
	}
	pause(true)
	_, err := x.login(erin, secret)
	answers(t, "a paused account", err, imap.ResponseCodeUnavailable, "paused")
	pause(false)
	if _, err := x.login(erin, secret); err != nil {
		t.Error(err)
	}
}

// commands: an operator makes, lists and revokes them without GraphQL.
func (x *doors) commands(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program("postern"), append([]string{"-c", x.info.Config, "app-passwords"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	typed := strings.Fields(run("create", strings.ToUpper(grace), "a phone", "--scope", "imap:read", "--hide", "binary"))
	after := func(word string) string { return typed[slices.Index(typed, word)+1] }
	if !slices.Contains(typed, x.imap[strings.LastIndexByte(x.imap, ':')+1:]) || after("user") != grace {
		t.Errorf("it printed %q", typed)
	}
	c, err := x.login(after("user"), after("password"))
	if err != nil {
		t.Fatal(err)
	}
	if list := run("list", grace); !strings.Contains(list, "a phone") || !strings.Contains(list, "imap:read") || strings.Contains(list, after("password")) {
		t.Errorf("listed:\n%s", list)
	}
	if list := run("list"); !strings.Contains(list, ada) || !strings.Contains(list, after("id")) {
		t.Errorf("listed:\n%s", list)
	}
	run("revoke", after("id"))
	x.leaves(t, c)
}

// guessing locks out the user name from this address, and nobody else.
func (x *doors) guessing(t *testing.T) {
	const frank = "frank@contoso.example"
	account := x.connect(frank, nil)
	_, secret := x.create(account, nil)
	there, err := x.login(frank, secret)
	if err != nil {
		t.Fatal(err)
	}
	// At once: the waits are each connection's own.
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		c := x.dial()
		wg.Go(func() { errs[i] = c.Login(frank, fmt.Sprint("guess", i)).Wait() })
	}
	wg.Wait()
	for i, err := range errs {
		answers(t, fmt.Sprint("guess ", i), err, imap.ResponseCodeAuthenticationFailed, "")
	}
	_, err = x.login(frank, secret)
	answers(t, "the right one after ten wrong ones", err, imap.ResponseCodeUnavailable, "oo many wrong passwords")
	replies(t, "over SMTP", x.submit(frank, secret), 454, "too many wrong passwords")
	if err := there.Noop().Wait(); err != nil {
		t.Errorf("who was there: %v", err)
	}
	if _, err := x.login(ada, x.logins[ada].Password); err != nil {
		t.Errorf("another user of the same machine: %v", err)
	}
}
