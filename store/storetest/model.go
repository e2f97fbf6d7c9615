package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func modelCases() []Case {
	var cases []Case
	for seed := range uint64(3) {
		cases = append(cases, Case{
			Name: fmt.Sprintf("the mirror agrees with a naive model, seed %d", seed),
			Run:  func(w *World) { mirrorModel(w, seed) },
		})
	}
	return cases
}

// modelBox is a mailbox of the naive model.
type modelBox struct {
	account string
	next    uint32
	listed  bool
	modSeq  uint64
	rows    map[uint32]store.UID
}

// mirror is the naive model: maps that are searched whole.
type mirror struct {
	messages map[string]*store.Message
	boxes    map[string]*modelBox
	seq      uint64
}

func (m *mirror) clone() *mirror {
	c := &mirror{messages: map[string]*store.Message{}, boxes: map[string]*modelBox{}, seq: m.seq}
	for id, msg := range m.messages {
		c.messages[id] = cloneMessage(msg)
	}
	for id, b := range m.boxes {
		n := *b
		n.rows = maps.Clone(b.rows)
		c.boxes[id] = &n
	}
	return c
}

func cloneMessage(m *store.Message) *store.Message {
	c := *m
	c.In, c.Local, c.Keywords, c.UIDs = slices.Clone(m.In), slices.Clone(m.Local), slices.Clone(m.Keywords), maps.Clone(m.UIDs)
	return &c
}

func (m *mirror) give(box string, msg *store.Message) {
	b := m.boxes[box]
	if msg.UIDs == nil {
		msg.UIDs = map[string]uint32{}
	}
	msg.UIDs[box] = b.next
	b.rows[b.next] = store.UID{UID: b.next, Message: msg.ID, Keywords: msg.AllKeywords(), ModSeq: msg.ModSeq, Size: msg.Size, Date: msg.ReceivedAt}
	b.next++
}

func (m *mirror) put(msg *store.Message) {
	msg = cloneMessage(msg)
	old := m.messages[msg.ID]
	msg.UIDs = nil
	if old != nil {
		msg.UIDs = maps.Clone(old.UIDs)
		for _, box := range old.In {
			b := m.boxes[box]
			b.modSeq = max(b.modSeq, msg.ModSeq)
			if !slices.Contains(msg.In, box) {
				delete(b.rows, msg.UIDs[box])
				delete(msg.UIDs, box)
			}
		}
	}
	for _, box := range msg.In {
		b := m.boxes[box]
		b.modSeq = max(b.modSeq, msg.ModSeq)
		if uid, ok := msg.UIDs[box]; ok {
			row := b.rows[uid]
			if row.ModSeq < msg.ModSeq {
				row.ModSeq = msg.ModSeq
			}
			row.Keywords, row.Size, row.Date = msg.AllKeywords(), msg.Size, msg.ReceivedAt
			b.rows[uid] = row
		} else if b.listed {
			m.give(box, msg)
		}
	}
	m.messages[msg.ID] = msg
}

func (m *mirror) remove(id string, seq uint64) {
	msg := m.messages[id]
	if msg == nil {
		return
	}
	for _, box := range msg.In {
		b := m.boxes[box]
		b.modSeq = max(b.modSeq, seq)
		delete(b.rows, msg.UIDs[box])
	}
	delete(m.messages, id)
}

func (m *mirror) giveUIDs(box string, limit int) bool {
	var waiting []*store.Message
	for _, msg := range m.messages {
		if slices.Contains(msg.In, box) && msg.UIDs[box] == 0 {
			waiting = append(waiting, msg)
		}
	}
	slices.SortFunc(waiting, func(a, b *store.Message) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.ID, b.ID))
	})
	for i, msg := range waiting {
		if i == limit {
			return true
		}
		m.give(box, msg)
	}
	m.boxes[box].listed = true
	return false
}

func (m *mirror) renew(id string, seq uint64) {
	msg := m.messages[id]
	msg.ModSeq = max(msg.ModSeq, seq)
	for _, box := range msg.In {
		b := m.boxes[box]
		b.modSeq = max(b.modSeq, seq)
		if uid := msg.UIDs[box]; uid != 0 {
			delete(b.rows, uid)
			m.give(box, msg)
		}
	}
}

// newest lists messages that fit, newest first.
func (m *mirror) newest(fits func(*store.Message) bool) []store.DateKey {
	var out []store.DateKey
	for _, msg := range m.messages {
		if fits(msg) {
			out = append(out, store.DateKey{At: msg.ReceivedAt, ID: msg.ID})
		}
	}
	slices.SortFunc(out, func(a, b store.DateKey) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

// mirrorDump is all that can be asked of a mirror.
type mirrorDump struct {
	Messages map[string]*store.Message
	Of       map[string][]store.DateKey
	In       map[string][]store.DateKey
	Oldest   map[string][]store.DateKey
	Rows     map[string][]store.UID
	Boxes    map[string]store.Mailbox
	Threads  map[string][]*store.Thread
	OfThread map[string][]store.DateKey
	Counts   map[string]int64
}

func emptyDump() *mirrorDump {
	return &mirrorDump{
		Messages: map[string]*store.Message{}, Of: map[string][]store.DateKey{}, In: map[string][]store.DateKey{},
		Oldest: map[string][]store.DateKey{}, Rows: map[string][]store.UID{}, Boxes: map[string]store.Mailbox{},
		Threads: map[string][]*store.Thread{}, OfThread: map[string][]store.DateKey{}, Counts: map[string]int64{},
	}
}

var modelAccounts = []string{"a1", "a2"}

func modelBoxes(acct string) []string { return []string{acct + "-f1", acct + "-f2", acct + "-f3"} }

func (m *mirror) dump() *mirrorDump {
	d := emptyDump()
	for id, msg := range m.messages {
		d.Messages[id] = msg
	}
	for id, b := range m.boxes {
		keys := m.newest(func(msg *store.Message) bool { return slices.Contains(msg.In, id) })
		d.In[id] = keys
		back := slices.Clone(keys)
		slices.Reverse(back)
		d.Oldest[id] = back
		s := store.Mailbox{UIDNext: b.next, UIDListed: b.listed, ModSeq: b.modSeq, Total: int64(len(keys))}
		for _, k := range keys {
			if !slices.Contains(m.messages[k.ID].AllKeywords(), mail.Seen) {
				s.Unread++
			}
		}
		d.Boxes[id] = s
		for _, uid := range slices.Sorted(maps.Keys(b.rows)) {
			d.Rows[id] = append(d.Rows[id], b.rows[uid])
		}
	}
	for _, acct := range modelAccounts {
		d.Of[acct] = m.newest(func(msg *store.Message) bool { return msg.Account == acct })
		d.Counts[acct] = int64(len(d.Of[acct]))
		threads := map[string]*store.Thread{}
		for _, k := range d.Of[acct] {
			t := m.messages[k.ID].Thread
			if t == "" {
				continue
			}
			if threads[t] == nil {
				threads[t] = &store.Thread{ID: t, Account: acct, LastAt: k.At}
			}
			threads[t].Count++
			d.OfThread[t] = append(d.OfThread[t], k)
		}
		list := slices.Collect(maps.Values(threads))
		slices.SortFunc(list, func(a, b *store.Thread) int { return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.ID, b.ID)) })
		if len(list) > 0 {
			d.Threads[acct] = list
		}
	}
	for _, keys := range d.OfThread {
		slices.SortFunc(keys, func(a, b store.DateKey) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	}
	return d
}

// dumpMirror asks the store everything, in pages of a few.
func dumpMirror(tx store.Tx, boxes map[string]*modelBox) (*mirrorDump, error) {
	d := emptyDump()
	var errs []error
	list := func(read func(after store.DateKey, limit int) ([]store.DateKey, error)) []store.DateKey {
		keys, err := pages(3, read)
		errs = append(errs, err)
		return keys
	}
	for id := range boxes {
		d.In[id] = list(func(after store.DateKey, limit int) ([]store.DateKey, error) { return tx.MessagesIn(id, after, limit) })
		d.Oldest[id] = list(func(after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesOldestFirst(id, after, limit)
		})
		b, err := tx.Mailbox(id)
		if err != nil {
			return nil, err
		}
		d.Boxes[id] = store.Mailbox{UIDNext: b.UIDNext, UIDListed: b.UIDListed, ModSeq: b.ModSeq, Total: b.Total, Unread: b.Unread}
		for first := uint32(1); ; {
			rows, err := tx.UIDs(id, first, 1<<31, 4)
			errs = append(errs, err)
			if len(rows) == 0 {
				break
			}
			d.Rows[id] = append(d.Rows[id], rows...)
			first = rows[len(rows)-1].UID + 1
		}
	}
	for _, acct := range modelAccounts {
		d.Of[acct] = list(func(after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesOf(acct, after, limit)
		})
		n, err := tx.CountMessages(acct)
		errs = append(errs, err)
		d.Counts[acct] = n
		for _, k := range d.Of[acct] {
			m, err := tx.Message(k.ID)
			if err != nil {
				return nil, err
			}
			d.Messages[k.ID] = m
		}
		var after store.DateKey
		for {
			page, err := tx.ThreadsOf(acct, after, 2)
			errs = append(errs, err)
			if len(page) == 0 {
				break
			}
			d.Threads[acct] = append(d.Threads[acct], page...)
			last := page[len(page)-1]
			after = store.DateKey{At: last.LastAt, ID: last.ID}
		}
		for _, t := range d.Threads[acct] {
			d.OfThread[t.ID] = list(func(after store.DateKey, limit int) ([]store.DateKey, error) {
				return tx.MessagesOfThread(t.ID, after, limit)
			})
		}
	}
	return d, errors.Join(errs...)
}

func mirrorModel(w *World, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := &mirror{messages: map[string]*store.Message{}, boxes: map[string]*modelBox{}}
	for _, acct := range modelAccounts {
		w.settle(acct, modelBoxes(acct)...)
		for _, b := range modelBoxes(acct) {
			m.boxes[b] = &modelBox{account: acct, next: 1, rows: map[uint32]store.UID{}}
		}
	}
	for step := range 120 {
		abort := r.IntN(8) == 0
		trial := m.clone()
		var ops []func(store.Tx) error
		for range 1 + r.IntN(5) {
			ops = append(ops, trial.randomOp(r))
		}
		err := w.Store.Update(w.ctx(), func(tx store.Tx) error {
			for _, op := range ops {
				if err := op(tx); err != nil {
					return err
				}
			}
			if abort {
				return errOnPurpose
			}
			return nil
		})
		switch {
		case abort && !errors.Is(err, errOnPurpose):
			w.Fatalf("seed %d, step %d: aborting gave %v", seed, step, err)
		case !abort && err != nil:
			w.Fatalf("seed %d, step %d: %v", seed, step, err)
		case !abort:
			m = trial
		}
		if step == 60 {
			w.Reopen()
		}
		if step%4 != 3 {
			continue
		}
		w.view(func(tx store.Tx) error {
			got, err := dumpMirror(tx, m.boxes)
			if err != nil {
				return fmt.Errorf("seed %d, step %d: %w", seed, step, err)
			}
			w.same(fmt.Sprintf("seed %d, step %d", seed, step), m.dump(), got)
			return nil
		})
	}
}

// randomOp changes the model and gives the same change for the store.
func (m *mirror) randomOp(r *rand.Rand) func(store.Tx) error {
	m.seq++
	seq := m.seq
	some := func() *store.Message {
		list := slices.Sorted(maps.Keys(m.messages))
		if len(list) == 0 {
			return nil
		}
		return cloneMessage(m.messages[list[r.IntN(len(list))]])
	}
	box := func() string {
		list := slices.Sorted(maps.Keys(m.boxes))
		return list[r.IntN(len(list))]
	}
	switch msg := some(); {
	case msg == nil || r.IntN(10) < 3:
		acct := modelAccounts[r.IntN(2)]
		fresh := message(fmt.Sprintf("%s-m%03d", acct, r.IntN(40)), acct, Start.Add(time.Duration(r.IntN(12))*time.Hour))
		m.scramble(r, fresh, seq)
		m.put(fresh)
		return func(tx store.Tx) error { return tx.PutMessage(fresh) }
	case r.IntN(10) < 4:
		m.scramble(r, msg, seq)
		m.put(msg)
		return func(tx store.Tx) error { return tx.PutMessage(msg) }
	case r.IntN(10) < 4:
		m.remove(msg.ID, seq)
		return func(tx store.Tx) error { return tx.DeleteMessage(msg.ID, seq) }
	case r.IntN(10) < 4:
		b := box()
		want := m.giveUIDs(b, 2)
		return func(tx store.Tx) error {
			more, err := tx.GiveUIDs(b, 2)
			if err == nil && more != want {
				err = fmt.Errorf("giving UIDs in %s: more is %v", b, more)
			}
			return err
		}
	case r.IntN(10) < 5:
		m.renew(msg.ID, seq)
		return func(tx store.Tx) error { return tx.RenewUIDs(msg.ID, seq) }
	default:
		b := box()
		uids := slices.Sorted(maps.Keys(m.boxes[b].rows))
		if len(uids) == 0 {
			return func(store.Tx) error { return nil }
		}
		uid := uids[r.IntN(len(uids))]
		row := m.boxes[b].rows[uid]
		row.Deleted, row.ModSeq = !row.Deleted, seq
		m.boxes[b].rows[uid], m.boxes[b].modSeq = row, seq
		return func(tx store.Tx) error { return tx.SetDeleted(b, uid, row.Deleted, seq) }
	}
}

// scramble changes what a provider may change.
func (m *mirror) scramble(r *rand.Rand, msg *store.Message, seq uint64) {
	boxes := modelBoxes(msg.Account)
	r.Shuffle(len(boxes), func(i, j int) { boxes[i], boxes[j] = boxes[j], boxes[i] })
	msg.In = slices.Sorted(slices.Values(boxes[:1+r.IntN(2)]))
	msg.Keywords, msg.Local = nil, nil
	if r.IntN(2) == 0 {
		msg.Keywords = []string{mail.Seen}
	}
	if r.IntN(3) == 0 {
		msg.Local = []string{"$local"}
	}
	if r.IntN(3) == 0 {
		msg.ReceivedAt = Start.Add(time.Duration(r.IntN(12)) * time.Hour)
	}
	msg.Thread = ""
	if t := r.IntN(5); t > 0 {
		msg.Thread = fmt.Sprintf("%s-t%d", msg.Account, t)
	}
	if r.IntN(3) == 0 {
		msg.Size = int64(r.IntN(5))
	}
	msg.ModSeq = seq
	msg.UIDs = nil
}
