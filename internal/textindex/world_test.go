package textindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const (
	acct = "account-1"
	box  = "box-1"
)

// world is an index over a real store with one account and one mailbox.
type world struct {
	testing.TB
	ctx   context.Context
	ring  *seal.Keyring
	dir   string
	store store.Store
	index *Index
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, ctx: context.Background(), dir: t.TempDir(), ring: bolttest.Keyring(t)}
	w.open()
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.connect()
	return w
}

func (w *world) connect() {
	w.Helper()
	w.update(func(tx store.Tx) error {
		if err := tx.PutAccount(&store.Account{ID: acct, Provider: "memory", Address: "ann@example.com"}); err != nil {
			return err
		}
		return tx.PutMailbox(&store.Mailbox{ID: box, Account: acct, Name: "Box", UIDValidity: 1, Kind: mail.KindFolder})
	})
}

func (w *world) open() {
	w.Helper()
	st, err := bolt.Open(bolt.Options{Path: w.dir, Keyring: w.ring})
	if err != nil {
		w.Fatal(err)
	}
	w.store = st
	w.index = New(st, Options{})
}

// reopen is what a restart does.
func (w *world) reopen() {
	w.Helper()
	if err := w.store.Close(); err != nil {
		w.Fatal(err)
	}
	w.open()
}

func (w *world) update(fn func(store.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.ctx, fn); err != nil {
		w.Fatal(err)
	}
}

// put stores messages with their extracts.
func (w *world) put(extracts map[string]*mime.Extract) {
	w.Helper()
	w.putMessages(extracts, Put)
}

func (w *world) putMessages(extracts map[string]*mime.Extract, put func(store.Derived, string, string, []byte) error) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for id, e := range extracts {
			if _, err := tx.Message(id); errors.Is(err, store.ErrNotFound) {
				if err := tx.PutMessage(&store.Message{ID: id, Account: acct, Thread: "t" + id, In: []string{box},
					Message: mail.Message{ReceivedAt: time.Unix(1e9, 0)}}); err != nil {
					return err
				}
			}
			if err := put(tx, acct, id, e.Encode()); err != nil {
				return err
			}
		}
		return nil
	})
}

// putRaw scans raw messages and stores what came of them.
func (w *world) putRaw(raw map[string][]byte) {
	w.Helper()
	extracts := map[string]*mime.Extract{}
	for id, b := range raw {
		s, err := mime.Scan(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			w.Fatal(err)
		}
		extracts[id] = s.Text
		if len(extracts) == 200 {
			w.put(extracts)
			clear(extracts)
		}
	}
	w.put(extracts)
}

// settle does what Run does for the account.
func (w *world) settle() {
	w.Helper()
	if err := w.index.update(w.ctx, acct); err != nil {
		w.Fatal(err)
	}
}

func (w *world) search(q Query, ids []string) []Result {
	w.Helper()
	got, err := w.index.Search(w.ctx, acct, q, ids)
	if err != nil {
		w.Fatalf("search %+v: %v", q, err)
	}
	return got
}

func (w *world) manifest() *manifest {
	w.Helper()
	var m *manifest
	err := w.store.View(w.ctx, func(tx store.Tx) (err error) {
		m, err = readManifest(tx, acct)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// marked is how many messages wait for the index.
func (w *world) marked() int {
	w.Helper()
	n := 0
	err := w.store.View(w.ctx, func(tx store.Tx) error {
		m, err := marks(tx, acct)
		n = len(m)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// records is how many segment records there are, the manifest too.
func (w *world) records() int {
	w.Helper()
	n, after := 0, ""
	err := w.store.View(w.ctx, func(tx store.Tx) error {
		for {
			rows, err := tx.DerivedAfter(acct, store.DerivedSegment, after, 100)
			if err != nil || len(rows) == 0 {
				return err
			}
			n += len(rows)
			after = rows[len(rows)-1].Key
		}
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// letters are alphabets that words are made of.
var letters = [][]rune{
	[]rune("abcdefghijklmnopqrstuvwxyz"), []rune("etaoinshrdlu"), []rune("abcdefghijäöüßéñ"),
	[]rune("абвгдежзиклмнопрстуфхцчшщ"), []rune("αβγδεζηθικλμνξοπρστυφχψω"),
	[]rune("日本語請求書会議予定東京大阪発注"), []rune("한국어메일회의"), []rune("אבגדהוזחטי"),
}

func word(r *rand.Rand) string {
	a := letters[r.IntN(len(letters))]
	n := 1 + r.IntN(8)
	out := make([]rune, n)
	for i := range out {
		out[i] = a[r.IntN(len(a))]
	}
	return string(out)
}

func text(r *rand.Rand, words int) string {
	var b bytes.Buffer
	for range words {
		b.WriteString(word(r))
		b.WriteByte(" \n.,"[r.IntN(4)])
	}
	return b.String()
}

// generate makes n extracts, some of which are cut.
func generate(r *rand.Rand, prefix string, n int) map[string]*mime.Extract {
	out := map[string]*mime.Extract{}
	for i := range n {
		to := fmt.Sprintf("%s@example.net", word(r))
		if i%50 == 7 {
			to = mime.Fold(text(r, 300)) // too long to be kept
		}
		out[fmt.Sprintf("%s%05d", prefix, i)] = &mime.Extract{
			Headers: []mail.Header{
				{Name: "subject", Value: mime.Fold(text(r, 1+r.IntN(6)))},
				{Name: "from", Value: fmt.Sprintf("%s <%s@example.org>", word(r), word(r))},
				{Name: "to", Value: to},
				{Name: "date", Value: "mon, 7 feb 1994 21:52:25 -0800"},
			},
			Fields: "content-type: text/plain; name=" + word(r) + "\n",
			Body:   mime.Fold(text(r, r.IntN(120))) + "\x00",
		}
	}
	return out
}

// naive is what Search must give.
func naive(q Query, e *mime.Extract) Result {
	if e == nil {
		return Unknown
	}
	if holds(e, &q, mime.Fold(q.Text)) {
		return Yes
	}
	return No
}
