package session

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mirrortest"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

const (
	ann     = mirrortest.Ann
	account = mirrortest.Account
)

// world is an account in a real store, mirrored from a provider in memory, and
// a Server for its mail programs.
type world struct {
	*mirrortest.World
	t      testing.TB
	cloud  *memory.Cloud
	store  store.Store
	mirror *mailbox.Service
	server *Server
}

// Login takes any password; one of "read" may not write.
func (w *world) Login(_ context.Context, l access.Login) (*access.Principal, error) {
	if l.User != ann {
		return nil, mail.Errorf(mail.KindUnauthorized, "log in", "wrong")
	}
	return &access.Principal{Account: account, ReadOnly: l.Secret == "read"}, nil
}

func newWorld(t testing.TB, opts memory.Options, change ...func(*Options)) *world {
	t.Helper()
	m := mirrortest.New(t, opts)
	w := &world{World: m, t: t, cloud: m.Cloud, store: m.Store, mirror: m.Mirror}
	o := Options{Store: w.store, Mirror: w.mirror, Bus: w.Bus, Auth: w}
	for _, c := range change {
		c(&o)
	}
	var err error
	if w.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	return w
}

// folders and labels are the two kinds of provider.
func flavours(t *testing.T, test func(t *testing.T, opts memory.Options)) {
	t.Run("folders", func(t *testing.T) { test(t, memory.Options{Kind: mail.KindFolder}) })
	t.Run("labels", func(t *testing.T) { test(t, memory.Options{Kind: mail.KindLabel}) })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// deliver puts a message into a mailbox, named by role, and gives the
// provider's id.
func (w *world) deliver(mailbox string, keywords ...string) string {
	w.t.Helper()
	return w.Deliver(mailbox, mirrortest.Letter(w.Delivered()+1), keywords...)
}

func (w *world) sync() { w.t.Helper(); w.Sync() }

func (w *world) run() { w.t.Helper(); w.Run() }

// table is a mailbox's UID table as the store has it: UID to flags.
func (w *world) table(provider string) map[uint32]string {
	w.t.Helper()
	out := map[uint32]string{}
	w.must(w.store.View(w.t.Context(), func(tx store.Tx) error {
		rows, err := tx.UIDs(mailbox.ID(account, provider), 1, 1<<32-1, 1<<20)
		for _, r := range rows {
			flags := slices.Clone(r.Keywords)
			if r.Deleted {
				flags = append(flags, `\Deleted`)
			}
			out[r.UID] = strings.Join(flags, " ")
		}
		return err
	}))
	return out
}

// client is a mail program that builds its view from untagged responses alone.
type client struct {
	w    *world
	s    *Session
	view []seenMessage
	// lines are the responses that came outside of commands.
	lines []string
}

// seenMessage is what the client knows of a message: UID 0 is one of which it
// knows that it is there.
type seenMessage struct {
	uid   uint32
	flags string
}

func (c *client) Exists(n uint32) { c.take(fmt.Sprintf("* %d EXISTS", n)) }

func (c *client) Expunge(seq uint32) { c.take(fmt.Sprintf("* %d EXPUNGE", seq)) }

func (c *client) Fetch(seq, uid uint32, flags []string, _ uint64) {
	c.take(fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s))", seq, uid, strings.Join(flags, " ")))
}

func (c *client) Flags(all []string) { c.take("* FLAGS (" + strings.Join(all, " ") + ")") }

func (c *client) Flush() error { return nil }

// take reads one response.
func (c *client) take(line string) {
	c.lines = append(c.lines, line)
	var n, uid uint32
	switch {
	case strings.HasSuffix(line, " EXISTS"):
		if _, err := fmt.Sscanf(line, "* %d EXISTS", &n); err != nil || int(n) < len(c.view) {
			c.w.t.Errorf("%s, where %d were told of", line, len(c.view))
		}
		for len(c.view) < int(n) {
			c.view = append(c.view, seenMessage{})
		}
	case strings.HasSuffix(line, " EXPUNGE"):
		if _, err := fmt.Sscanf(line, "* %d EXPUNGE", &n); err != nil || n < 1 || int(n) > len(c.view) {
			c.w.t.Errorf("%s, where %d were told of", line, len(c.view))
			return
		}
		c.view = slices.Delete(c.view, int(n-1), int(n))
	case strings.Contains(line, " FETCH (UID "):
		if _, err := fmt.Sscanf(line, "* %d FETCH (UID %d", &n, &uid); err != nil || n < 1 || int(n) > len(c.view) {
			c.w.t.Errorf("%s, where %d were told of", line, len(c.view))
			return
		}
		m := &c.view[n-1]
		if m.uid != 0 && m.uid != uid {
			c.w.t.Errorf("%s, which was UID %d", line, m.uid)
		}
		m.uid = uid
		if _, flags, ok := strings.Cut(line, "FLAGS ("); ok {
			m.flags, _, _ = strings.Cut(flags, ")")
		}
	}
}

// client connects and logs in.
func (w *world) client() *client {
	w.t.Helper()
	return w.clientAs("secret")
}

func (w *world) clientAs(password string) *client {
	w.t.Helper()
	c := &client{w: w}
	c.s = w.server.Session(ConnInfo{}, c)
	w.must(c.s.Login(w.t.Context(), "LOGIN", ann, password))
	w.t.Cleanup(c.s.Close)
	return c
}

// open selects a mailbox.
func (c *client) open(name string) *Selected {
	c.w.t.Helper()
	sel, err := c.s.Select(c.w.t.Context(), name, false)
	c.w.must(err)
	c.view = make([]seenMessage, sel.Exists)
	return sel
}

// do gives a command and returns every line of the answer, the tagged one last
// and without its text.
func (c *client) do(command string) string {
	c.w.t.Helper()
	name, args, _ := strings.Cut(command, " ")
	cmd := &wire.Command{Tag: "a", Name: name}
	if name == "UID" {
		cmd.UID = true
		cmd.Name, args, _ = strings.Cut(args, " ")
	}
	if args != "" {
		args = " " + args
	}
	cmd.Args = wire.NewArgs([]byte(args))
	var b bytes.Buffer
	to := wire.NewWriter(&b)
	t, err := c.s.Command(c.w.t.Context(), cmd, to)
	c.w.must(err)
	c.w.must(to.Flush())
	c.lines = nil
	for line := range strings.Lines(b.String()) {
		c.take(strings.TrimSuffix(line, "\r\n"))
	}
	last := string(t.Status)
	if t.Code != "" {
		last += " [" + t.Code + "]"
	}
	return strings.Join(append(c.lines, last), "\n")
}

// noop polls and returns what was told.
func (c *client) noop() string {
	c.w.t.Helper()
	c.lines = nil
	c.w.must(c.s.Poll(c.w.t.Context(), true))
	return strings.Join(c.lines, "\n")
}

// says checks what a command was answered.
func (c *client) says(command, want string) {
	c.w.t.Helper()
	if d := cmp.Diff(strings.TrimSpace(want), c.do(command)); d != "" {
		c.w.t.Errorf("%s (-want +got):\n%s", command, d)
	}
}

// hears checks what a poll tells.
func (c *client) hears(want string) {
	c.w.t.Helper()
	if d := cmp.Diff(strings.TrimSpace(want), c.noop()); d != "" {
		c.w.t.Errorf("poll (-want +got):\n%s", d)
	}
}
