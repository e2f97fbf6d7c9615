package session

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/store"
)

// selected is the selected mailbox, as the client knows it.
type selected struct {
	box     *box.Box
	mailbox *store.Mailbox
	// readOnly: by EXAMINE, or by the password.
	readOnly bool
	// uids are those that the client was told of, ascending: the place of one,
	// from 1, is its sequence number.
	uids []uint32
	// shared: they are the box's own, not to be written to.
	shared bool
	// version and modSeq are those of the box that the client was told.
	version, modSeq uint64
	// gone are UIDs among uids whose EXPUNGE could not be told yet, ascending.
	gone []uint32
	// told are flags, as on the wire, that the client knows by its own command
	// though they are news to poll.
	told map[uint32]string
	// keywords are those that FLAGS has told of.
	keywords names
	// missing is how many of the messages that the last command named are gone.
	missing int
	woken   <-chan struct{}
	unwatch func()
	// unlisten ends telling the mirror that somebody waits for this account.
	unlisten func()
}

// leave gives back what the selected mailbox holds.
func (s *Session) leave() {
	v := s.sel
	if v == nil {
		return
	}
	v.unlisten()
	v.unwatch()
	v.box.Release()
	s.sel, s.saved = nil, nil
}

// Poll tells what changed since the client was last told, without expunges
// where these may not be told now. An *Over ends the session: the mailbox was
// deleted, or the store cannot be read.
func (s *Session) Poll(ctx context.Context, expunge bool) error {
	if s.sel == nil {
		return nil
	}
	return s.poll(ctx, s.out, expunge)
}

func (s *Session) poll(ctx context.Context, out Updates, expunge bool) error {
	v := s.sel
	if err := v.box.CatchUp(ctx); err != nil {
		return over(err)
	}
	d := v.box.Since(v.version)
	news := v.compare(&d)
	v.version, v.modSeq = d.Version, max(v.modSeq, d.ModSeq)
	if expunge && len(v.gone) > 0 {
		v.tellExpunges(out)
	}
	if len(news.added) > 0 {
		// Where they are shared their slice is full, so that this copies them.
		v.uids, v.shared = append(v.uids, news.added...), false
		out.Exists(uint32(len(v.uids)))
	}
	if v.learn(d.Present) {
		out.Flags(v.keywords.flags())
	}
	for i := range news.changed {
		row := &news.changed[i]
		if told, ok := v.told[row.UID]; ok && told == box.FlagList(*row) {
			continue
		}
		place, _ := slices.BinarySearch(v.uids, row.UID)
		out.Fetch(uint32(place+1), row.UID, box.Flags(*row), row.ModSeq)
	}
	clear(v.told)
	return out.Flush()
}

// fresh is what a client has to be told of.
type fresh struct {
	added   []uint32
	changed []box.Row
}

// compare finds what the client was not told of, and notes what it was told of
// that is gone.
func (v *selected) compare(d *box.Diff) (news fresh) {
	last := uint32(0)
	if len(v.uids) > 0 {
		last = v.uids[len(v.uids)-1]
	}
	for i := range d.Present {
		row := &d.Present[i]
		switch _, known := slices.BinarySearch(v.uids, row.UID); {
		case row.UID > last:
			news.added = append(news.added, row.UID)
		case known && (!d.All || row.ModSeq > v.modSeq):
			news.changed = append(news.changed, *row)
		}
	}
	touched := d.UIDs
	if d.All {
		touched = v.uids
	}
	var gone []uint32
	at := 0
	for _, uid := range touched {
		for at < len(d.Present) && d.Present[at].UID < uid {
			at++
		}
		if at < len(d.Present) && d.Present[at].UID == uid {
			continue
		}
		if _, known := slices.BinarySearch(v.uids, uid); known {
			gone = append(gone, uid)
		}
	}
	if len(gone) > 0 {
		v.gone = append(v.gone, gone...)
		slices.Sort(v.gone)
		v.gone = slices.Compact(v.gone)
	}
	return news
}

// tellExpunges tells of messages that are gone, the last one first: so no
// number that follows is shifted by one told before (RFC 9051, 7.5.1).
func (v *selected) tellExpunges(out Updates) {
	for _, uid := range slices.Backward(v.gone) {
		if place, ok := slices.BinarySearch(v.uids, uid); ok {
			out.Expunge(uint32(place + 1))
		}
	}
	at := 0
	if v.shared {
		v.uids, v.shared = slices.Clone(v.uids), false
	}
	v.uids = slices.DeleteFunc(v.uids, func(uid uint32) bool {
		for at < len(v.gone) && v.gone[at] < uid {
			at++
		}
		return at < len(v.gone) && v.gone[at] == uid
	})
	v.gone = nil
}

// responses writes updates among a command's own responses.
type responses struct{ w *wire.Writer }

func (r responses) Exists(n uint32) { r.w.Raw("* ").Unsigned(uint64(n)).Raw(" EXISTS").CRLF() }

func (r responses) Expunge(seq uint32) {
	r.w.Raw("* ").Unsigned(uint64(seq)).Raw(" EXPUNGE").CRLF()
}

func (r responses) Fetch(seq, uid uint32, flags []string, _ uint64) {
	r.w.Raw("* ").Unsigned(uint64(seq)).Raw(" FETCH (UID ").Unsigned(uint64(uid)).Raw(" FLAGS ").Flags(flags).Raw(")").CRLF()
}

func (r responses) Flags(all []string) { r.w.Raw("* FLAGS ").Flags(all).CRLF() }

func (r responses) Flush() error { return r.w.Err() }
