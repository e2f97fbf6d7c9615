package session

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// Sessions that change a mailbox at the same time, while it changes at the
// provider, all end with the view that the store has; no UID means two
// messages at any time.
func TestViewsUnderChange(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		var ids []string
		for range 60 {
			ids = append(ids, w.deliver("inbox"))
		}
		w.sync()
		const programs = 6
		clients := make([]*client, programs)
		for i := range clients {
			clients[i] = w.client()
			clients[i].open("INBOX")
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(7, uint64(i)))
				for range 40 {
					c.act(rnd)
				}
			})
		}
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(8, 8))
			for range 30 {
				id := ids[rnd.IntN(len(ids))]
				switch rnd.IntN(4) {
				case 0:
					ids = append(ids, w.deliver("inbox"))
				case 1: // it may be gone
					_ = w.cloud.Remove(ann, id)
				case 2:
					_ = w.cloud.SetKeywords(ann, id, mail.Seen, fmt.Sprint("k", rnd.IntN(3)))
				case 3:
					_ = w.cloud.Move(ann, id, []string{"inbox", "archive"}[rnd.IntN(2)])
				}
				// Rounds and writes meet; what a round could not do the next one does.
				_ = w.mirror.Round(t.Context(), account)
			}
		})
		all.Wait()
		w.sync()
		want := w.table("inbox")
		for i, c := range clients {
			c.noop()
			if d := cmp.Diff(want, c.learnAll()); d != "" {
				t.Errorf("view of program %d (-store +view):\n%s", i, d)
			}
		}
		if len(want) == 0 {
			t.Error("nothing is left to compare")
		}
	})
}

// act does one random thing.
func (c *client) act(rnd *rand.Rand) {
	n := len(c.view)
	if n == 0 {
		c.noop()
		return
	}
	one := rnd.IntN(n) + 1
	switch rnd.IntN(8) {
	case 0, 1:
		c.do(fmt.Sprintf(`STORE %d +FLAGS (k%d)`, one, rnd.IntN(3)))
	case 2:
		c.do(fmt.Sprintf(`STORE %d:* FLAGS.SILENT (\Flagged k%d)`, one, rnd.IntN(3)))
	case 3:
		c.do(fmt.Sprintf(`STORE %d +FLAGS.SILENT (\Deleted)`, one))
	case 4:
		c.do("EXPUNGE")
	case 5:
		c.do(fmt.Sprintf(`COPY %d INBOX`, one))
	case 6:
		c.do(fmt.Sprintf(`MOVE %d Archive`, one))
	default:
		c.noop()
	}
}

// learnAll asks for the UIDs and flags of all messages, and gives what the
// client then knows. What it knew before must be what it is told now.
func (c *client) learnAll() map[uint32]string {
	c.w.t.Helper()
	before := slices.Clone(c.view)
	if answer := c.do("FETCH 1:* (UID FLAGS)"); !strings.HasSuffix(answer, "OK") && len(c.view) > 0 {
		c.w.t.Fatalf("FETCH: %s", answer)
	}
	out := map[uint32]string{}
	for i, m := range c.view {
		if i < len(before) && before[i].uid != 0 && before[i].uid != m.uid {
			c.w.t.Errorf("message %d was UID %d and is %d", i+1, before[i].uid, m.uid)
		}
		if i > 0 && c.view[i-1].uid >= m.uid {
			c.w.t.Errorf("UID %d follows %d", m.uid, c.view[i-1].uid)
		}
		out[m.uid] = keywordsText(m.flags)
	}
	return out
}

// keywordsText writes flags as world.table does.
func keywordsText(flags string) string {
	keywords, deleted, err := keywordsOf(strings.Fields(flags))
	if err != nil {
		return err.Error()
	}
	if deleted {
		keywords = append(keywords, `\Deleted`)
	}
	return strings.Join(keywords, " ")
}

// A client that was told flags keeps the right ones without asking again.
func TestToldFlagsStayRight(t *testing.T) {
	w := newWorld(t, memory.Options{})
	for range 20 {
		w.deliver("inbox")
	}
	w.sync()
	c, other := w.client(), w.client()
	c.open("INBOX")
	other.open("INBOX")
	c.learnAll()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		one := rnd.IntN(20) + 1
		switch rnd.IntN(3) {
		case 0:
			c.do(fmt.Sprintf(`STORE %d +FLAGS (k%d)`, one, rnd.IntN(4)))
		case 1:
			other.do(fmt.Sprintf(`STORE %d -FLAGS (k%d)`, one, rnd.IntN(4)))
		case 2:
			other.do(fmt.Sprintf(`STORE %d +FLAGS.SILENT (k%d)`, one, rnd.IntN(4)))
		}
	}
	c.noop()
	known := map[uint32]string{}
	for _, m := range c.view {
		known[m.uid] = keywordsText(m.flags)
	}
	if d := cmp.Diff(w.table("inbox"), known); d != "" {
		t.Errorf("-store +told:\n%s", d)
	}
}

// What somebody changes between the end of a STORE and the poll that follows is
// told, whether the STORE was silent or not.
func TestChangeAfterStoreIsTold(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.deliver("inbox")
	w.sync()
	for _, silent := range []string{"", ".SILENT"} {
		c, other := w.client(), w.client()
		c.open("INBOX")
		other.open("INBOX")
		cmd := &wire.Command{Name: "STORE", Args: wire.NewArgs([]byte(" 1 +FLAGS" + silent + ` (\Flagged)`))}
		if _, err := c.s.store(t.Context(), cmd, wire.NewWriter(io.Discard)); err != nil {
			t.Fatal(err)
		}
		other.do(`STORE 1 +FLAGS (\Seen)`)
		c.hears(`* 1 FETCH (UID 1 FLAGS (\Flagged \Seen))`)
		other.do(`STORE 1 FLAGS ()`)
		c.hears(`* 1 FETCH (UID 1 FLAGS ())`)
	}
}
