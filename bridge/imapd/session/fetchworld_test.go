package session

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mirrortest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// fetchWorld is an account with an inbox in a real store, mirrored from a
// provider in memory.
type fetchWorld struct {
	*mirrortest.World
	t      testing.TB
	cloud  *memory.Cloud
	store  store.Store
	mirror *mailbox.Service
	inbox  string
}

func newFetchWorld(t testing.TB) *fetchWorld {
	t.Helper()
	m := mirrortest.New(t, memory.Options{})
	return &fetchWorld{World: m, t: t, cloud: m.Cloud, store: m.Store, mirror: m.Mirror}
}

func (w *fetchWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// deliver puts a message into the inbox.
func (w *fetchWorld) deliver(raw []byte, keywords ...string) {
	w.t.Helper()
	w.Deliver("", raw, keywords...)
}

// sync mirrors the account.
func (w *fetchWorld) sync() {
	w.t.Helper()
	w.must(w.mirror.Round(w.t.Context(), account))
	w.must(w.store.View(w.t.Context(), func(tx store.Tx) error {
		boxes, err := tx.MailboxesOf(account)
		for _, m := range boxes {
			if m.Role == "inbox" {
				w.inbox = m.ID
			}
		}
		return err
	}))
	for more := true; more; {
		w.must(w.store.Update(w.t.Context(), func(tx store.Tx) (err error) {
			more, err = tx.GiveUIDs(w.inbox, 1000)
			return err
		}))
	}
}

// messages are all of the inbox, as a client sees them that was told of all.
func (w *fetchWorld) messages() []message {
	w.t.Helper()
	var rows []store.UID
	w.must(w.store.View(w.t.Context(), func(tx store.Tx) (err error) {
		rows, err = tx.UIDs(w.inbox, 1, 1<<32-1, 1<<20)
		return err
	}))
	out := make([]message, len(rows))
	for i, r := range rows {
		out[i] = message{uint32(i + 1), r.UID, box.Row{UID: r.UID, Message: r.Message, Keywords: r.Keywords, Deleted: r.Deleted, ModSeq: r.ModSeq, Size: r.Size, Date: r.Date.Unix()}}
	}
	return out
}

// hydrate brings all bytes.
func (w *fetchWorld) hydrate() {
	w.t.Helper()
	for some := range slices.Chunk(w.messages(), 100) {
		var ids []string
		for _, m := range some {
			ids = append(ids, m.row.Message)
		}
		w.must(w.mirror.Hydrate(w.t.Context(), ids))
	}
}

// fetcher makes what Session.fetch makes of a command's items.
func (w *fetchWorld) fetcher(to *wire.Writer, items string, uid bool) *fetcher {
	w.t.Helper()
	plan, err := parseFetch(wire.NewArgs([]byte(items)), uid)
	if err != nil {
		w.t.Fatalf("%s: %v", items, err)
	}
	return &fetcher{fetchPlan: plan, w: to, uid: uid, account: account, mailbox: w.inbox, store: w.store, mirror: w.mirror, log: slog.New(slog.DiscardHandler), marks: plan.seen}
}

// fetch runs a FETCH over messages and gives what it answered, by sequence
// number and item.
func (w *fetchWorld) fetch(items string, messages []message) (map[int]map[string]string, *Tagged) {
	w.t.Helper()
	var out bytes.Buffer
	to := wire.NewWriter(&out)
	f := w.fetcher(to, items, false)
	w.must(f.run(w.t.Context(), slices.Values(messages)))
	w.must(to.Flush())
	answers, err := readFetch(out.Bytes())
	if err != nil {
		w.t.Fatalf("%s: %v\n%q", items, err, out.Bytes()[:min(out.Len(), 2000)])
	}
	return answers, f.answer()
}

// item fetches one item of the only message there is.
func (w *fetchWorld) item(item string) string {
	w.t.Helper()
	answers, tagged := w.fetch(item, w.messages())
	if tagged.Status != OK || len(answers) != 1 || len(answers[1]) != 1 {
		w.t.Fatalf("%s: %v %v", item, tagged, answers)
	}
	for _, v := range answers[1] {
		return v
	}
	return ""
}

// readFetch reads FETCH responses as strictly as a client may. The value of a
// string is its octets, of a list its text; a literal8 begins with "~".
func readFetch(b []byte) (map[int]map[string]string, error) {
	out := map[int]map[string]string{}
	for len(b) > 0 {
		rest, ok := bytes.CutPrefix(b, []byte("* "))
		number, rest2, ok2 := bytes.Cut(rest, []byte(" FETCH ("))
		seq, err := strconv.Atoi(string(number))
		if !ok || !ok2 || err != nil {
			return nil, fmt.Errorf("no FETCH response: %.60q", b)
		}
		b = rest2
		items := map[string]string{}
		for {
			name, rest, err := fetchName(b)
			if err != nil {
				return nil, err
			}
			value, rest, err := fetchValue(rest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if _, twice := items[name]; twice {
				return nil, fmt.Errorf("%s comes twice", name)
			}
			items[name] = value
			if after, ok := bytes.CutPrefix(rest, []byte(" ")); ok {
				b = after
				continue
			}
			if b, ok = bytes.CutPrefix(rest, []byte(")\r\n")); !ok {
				return nil, fmt.Errorf("%s: a response does not end: %.60q", name, rest)
			}
			break
		}
		if out[seq] != nil {
			return nil, fmt.Errorf("message %d is told twice", seq)
		}
		out[seq] = items
	}
	return out, nil
}

// fetchName reads the name of an item, with its section, and the space.
func fetchName(b []byte) (string, []byte, error) {
	quoted, depth := false, 0
	for i, c := range b {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ' ' && depth == 0:
			if i == 0 {
				return "", nil, errors.New("an item without a name")
			}
			return string(b[:i]), b[i+1:], nil
		}
	}
	return "", nil, fmt.Errorf("no item: %.60q", b)
}

func fetchValue(b []byte) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errors.New("no value")
	}
	switch b[0] {
	case '~':
		v, rest, err := fetchValue(b[1:])
		return "~" + v, rest, err
	case '{':
		head, rest, ok := bytes.Cut(b[1:], []byte("}\r\n"))
		n, err := strconv.Atoi(string(head))
		if !ok || err != nil || n > len(rest) {
			return "", nil, fmt.Errorf("no literal: %.40q", b)
		}
		return string(rest[:n]), rest[n:], nil
	case '"':
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(string(b[1:i])), b[i+1:], nil
			case '\r', '\n', 0:
				return "", nil, errors.New("a line ends in a quoted string")
			}
		}
		return "", nil, errors.New("a quoted string does not end")
	case '(':
		n, err := listEnd(b)
		return string(b[:n]), b[n:], err
	}
	end := bytes.IndexAny(b, " )\r\n(")
	if end <= 0 {
		return "", nil, fmt.Errorf("no value: %.40q", b)
	}
	return string(b[:end]), b[end:], nil
}

// listEnd gives the length of a list in parentheses.
func listEnd(b []byte) (int, error) {
	rest := b[1:]
	for {
		if len(rest) == 0 {
			return 0, errors.New("a list does not end")
		}
		switch rest[0] {
		case ')':
			return len(b) - len(rest) + 1, nil
		case ' ':
			rest = rest[1:]
			continue
		}
		var err error
		if _, rest, err = fetchValue(rest); err != nil {
			return 0, err
		}
	}
}

// keys are the sequence numbers of answers.
func keys(answers map[int]map[string]string) []int { return slices.Sorted(maps.Keys(answers)) }
