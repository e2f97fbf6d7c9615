package session

import (
	"iter"
	"runtime"
	"slices"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// message is one that a command addresses.
type message struct {
	seq, uid uint32
	row      box.Row
}

// resolve gives the messages that a set names, in the order of the mailbox,
// with their rows as they are now. Those that are gone, of which the client is
// not told yet, are left out; s.sel.missing tells how many they are. A
// sequence number that the client was never told of is an error (BAD); a UID
// that is not there is none (RFC 9051, 6.4.9).
func (s *Session) resolve(set wire.Set, uid bool) ([]message, error) {
	seq, err := s.each(set, uid)
	if err != nil {
		return nil, err
	}
	return slices.Collect(seq), nil
}

// each is resolve that holds no more than a hundred messages or so at once: for
// commands that go over a whole mailbox and keep nothing.
func (s *Session) each(set wire.Set, uid bool) (iter.Seq[message], error) {
	places, err := s.places(set, uid)
	if err != nil {
		return nil, err
	}
	v := s.sel
	v.missing = 0
	return func(yield func(message) bool) {
		const some = 128
		var uids []uint32
		var seqs []uint32
		var rows []box.Row
		flush := func() bool {
			rows = v.box.Rows(uids, rows[:0])
			for i := range rows {
				if rows[i].UID == 0 {
					v.missing++
				} else if !yield(message{seqs[i], rows[i].UID, rows[i]}) {
					return false
				}
			}
			uids, seqs = uids[:0], seqs[:0]
			// Who asks little waits behind each of those who ask for much, for as
			// long as they are let run at a stretch.
			runtime.Gosched()
			return true
		}
		for _, p := range places {
			for i := p.first; i < p.end; i++ {
				uids, seqs = append(uids, v.uids[i]), append(seqs, uint32(i+1))
				if len(uids) == some && !flush() {
					return
				}
			}
		}
		flush()
	}, nil
}

// known gives a set in which "*" is the last message that the client was told of,
// so that it does not come to mean one that the client has yet to hear of.
func (v *selected) known(set wire.Set, uid bool) wire.Set {
	out := wire.Set{Saved: set.Saved}
	largest := uint32(len(v.uids))
	if uid && largest > 0 {
		largest = v.uids[largest-1]
	}
	for _, r := range set.Ranges {
		if r.First == 0 || r.Last == 0 {
			if largest == 0 {
				continue
			}
			other := max(r.First, r.Last)
			if other == 0 || uid && other > largest {
				other = largest
			}
			r = wire.Range{First: other, Last: largest}
		}
		out.Ranges = append(out.Ranges, r)
	}
	return out
}

// span is a range of places in the client's view.
type span struct{ first, end int }

// places finds what a set names in the client's view.
func (s *Session) places(set wire.Set, uid bool) ([]span, error) {
	v := s.sel
	if v == nil {
		return nil, mail.Errorf(mail.KindInvalid, "address messages", "No mailbox is selected")
	}
	if set.Saved {
		return v.placesOf(s.saved), nil
	}
	n := uint32(len(v.uids))
	largest := n
	if uid && n > 0 {
		largest = v.uids[n-1]
	}
	var out []span
	for _, r := range set.Resolve(largest) {
		if !uid {
			if r.First < 1 || r.Last > n {
				return nil, errNoMessage
			}
			out = append(out, span{int(r.First) - 1, int(r.Last)})
			continue
		}
		first, _ := slices.BinarySearch(v.uids, r.First)
		end, found := slices.BinarySearch(v.uids, r.Last)
		if found {
			end++
		}
		if first < end {
			out = append(out, span{first, end})
		}
	}
	return out, nil
}

// placesOf finds UIDs, ascending, in the view.
func (v *selected) placesOf(uids []uint32) []span {
	var out []span
	for _, uid := range uids {
		i, ok := slices.BinarySearch(v.uids, uid)
		if !ok {
			continue
		}
		if k := len(out); k > 0 && out[k-1].end == i {
			out[k-1].end++
		} else {
			out = append(out, span{i, i + 1})
		}
	}
	return out
}

// errNoMessage: RFC 9051, 9, "seq-number": a number that is not in use is an
// error. "*" in an empty mailbox is none, it names nothing.
var errNoMessage = badCommand("There is no message of that number")

// badCommand is an error that is answered BAD.
type badCommand string

func (b badCommand) Error() string { return string(b) }
