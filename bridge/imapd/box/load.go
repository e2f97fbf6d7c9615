package box

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// pageRows is how many rows one transaction reads: it pins what it sees.
const pageRows = 2000

// load reads the table page by page. What changes meanwhile is in the journal
// after the sequence from before the first page, and the step that follows
// makes good for it.
func (b *Box) load(ctx context.Context) error {
	var m *store.Mailbox
	var sequence uint64
	err := b.set.store.View(ctx, func(tx store.Tx) (err error) {
		if m, err = b.record(tx); err != nil {
			return err
		}
		sequence, err = tx.LastSequence(m.Account)
		return err
	})
	if err != nil {
		return err
	}
	if !m.UIDListed {
		return mail.Errorf(mail.KindUnavailable, "open mailbox", "This mailbox is still being listed for the first time; try again in a moment")
	}
	b.mu.Lock()
	b.reading = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.reading, b.late = false, nil
		b.mu.Unlock()
	}()
	known := sets{}
	rows := make([]row, 0, m.Total+m.Total/16)
	for first := uint32(1); ; {
		var page []store.UID
		err := b.set.store.View(ctx, func(tx store.Tx) (err error) {
			if page, err = tx.UIDs(b.mailbox, first, math.MaxUint32, pageRows); err != nil {
				return err
			}
			return complete(tx, page)
		})
		if err != nil {
			return err
		}
		rows = appendPage(rows, page, known)
		if len(page) < pageRows {
			break
		}
		first = page[len(page)-1].UID + 1
	}
	b.mu.Lock()
	b.loaded, b.account, b.sequence = true, m.Account, sequence
	b.rows, b.sets, b.validity, b.next, b.modSeq = rows, known, m.UIDValidity, m.UIDNext, m.ModSeq
	b.deleted, b.unsized, b.size = 0, 0, 0
	for i := range b.rows {
		b.tally(&b.rows[i], 1)
	}
	for _, l := range b.late {
		b.setSize(l.uid, l.message, l.size)
	}
	b.log.restart()
	b.wake() // who waits compares everything, once the step is done
	b.mu.Unlock()
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// record reads the mailbox's record. One that was made anew is another mailbox:
// UIDs of before mean nothing in it (RFC 9051, 2.3.1.1), so the Box stays what it
// was, and is over.
func (b *Box) record(tx store.Tx) (*store.Mailbox, error) {
	m, err := tx.Mailbox(b.mailbox)
	if isNotFound(err) {
		return nil, mail.Errorf(mail.KindNotFound, "open mailbox", "The mailbox was deleted")
	}
	if err == nil && b.loaded && m.UIDValidity != b.validity { // written under step alone
		return nil, mail.Errorf(mail.KindNotFound, "open mailbox", "The mailbox was made anew; select it again")
	}
	return m, err
}

// complete reads the dates and sizes that rows of an older store lack.
func complete(tx store.Tx, page []store.UID) error {
	for i := range page {
		u := &page[i]
		if !u.Date.IsZero() {
			continue
		}
		m, err := tx.Message(u.Message)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		u.Date, u.Size = m.ReceivedAt, m.Size
	}
	return nil
}

// Refresh reads the sizes that were not known when their rows were: bytes that
// arrive are no news, so no entry of the journal tells of them.
func (b *Box) Refresh(ctx context.Context) error {
	b.step.Lock()
	defer b.step.Unlock()
	var missing []uint32
	b.mu.RLock()
	if b.unsized > 0 {
		for i := range b.rows {
			if b.rows[i].size == 0 {
				missing = append(missing, b.rows[i].uid)
			}
		}
	}
	b.mu.RUnlock()
	for len(missing) > 0 {
		var page []store.UID
		err := b.set.store.View(ctx, func(tx store.Tx) (err error) {
			if page, err = tx.UIDs(b.mailbox, missing[0], missing[len(missing)-1], pageRows); err != nil {
				return err
			}
			return complete(tx, page)
		})
		if err != nil {
			return err
		}
		b.mu.Lock()
		for i := range page {
			u := &page[i]
			if at, ok := b.find(u.UID); ok && b.rows[at].size == 0 && b.rows[at].message == u.Message {
				b.resize(&b.rows[at], u.Size)
			}
		}
		b.mu.Unlock()
		if len(page) < pageRows {
			break
		}
		last := page[len(page)-1].UID
		at, _ := slices.BinarySearch(missing, last+1)
		missing = missing[at:]
	}
	return nil
}

// appendPage turns rows of the table into ours. The ids of a page lie in one
// string, which saves a quarter of the memory.
func appendPage(to []row, page []store.UID, known sets) []row {
	var ids strings.Builder
	for i := range page {
		ids.WriteString(page[i].Message)
	}
	all := ids.String()
	for i := range page {
		u := &page[i]
		id := all[:len(u.Message)]
		all = all[len(u.Message):]
		r := rowOf(u, known)
		r.message = id
		to = append(to, r)
	}
	return to
}

func rowOf(u *store.UID, known sets) row {
	r := row{uid: u.UID, message: u.Message, set: known.get(u.Keywords), deleted: u.Deleted, modSeq: u.ModSeq, size: u.Size}
	if !u.Date.IsZero() {
		r.date = u.Date.Unix()
	}
	return r
}

// sets are the sets of keywords that a mailbox's messages have.
type sets map[string]*set

// get gives the shared set of keywords.
func (s sets) get(keywords []string) *set {
	key := strings.Join(keywords, " ")
	shared := s[key]
	if shared == nil {
		shared = newSet(keywords)
		s[key] = shared
	}
	return shared
}

// setsLeast is how many sets are kept whether they are used or not.
const setsLeast = 1024

// sweep forgets sets that no message has any more, when there are many; the
// caller holds the lock.
func (b *Box) sweep() {
	if len(b.sets) < max(setsLeast, b.swept) {
		return
	}
	for key, s := range b.sets {
		if s.rows == 0 {
			delete(b.sets, key)
		}
	}
	b.swept = 2 * len(b.sets)
}
