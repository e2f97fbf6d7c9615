package providertest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func fetchCases() []Case {
	return []Case{
		{Name: "fetch/metadata", Doc: "metadata is what the delivered message says", Read: true, test: fetchMetadata},
		{Name: "fetch/placement", Doc: "metadata has the mailboxes and keywords that are true", Read: true, test: fetchPlacement},
		{Name: "fetch/raw", Doc: "raw bytes have the true size and digest", Read: true, test: fetchRaw},
		{Name: "fetch/exact", Doc: "raw bytes are those that were delivered", Needs: needs(provider.CapExactBytes), test: fetchExact},
		{Name: "fetch/repeat", Doc: "raw bytes are the same every time", Read: true, test: fetchRepeat},
		{Name: "fetch/each-once", Doc: "every message is answered once, never two at once", Read: true, test: fetchEachOnce},
		{Name: "fetch/gone", Doc: "a message that is gone fails with not_found, the others are read", Read: true, test: fetchGone},
		{Name: "fetch/malformed-id", Doc: "an id that never was one fails alone", Read: true, test: fetchMalformed},
		{Name: "fetch/nothing", Doc: "no ids, no answers", Read: true, test: fetchNothing},
		{Name: "fetch/half-read", Doc: "a sink that reads half of a message gets the others whole", Read: true, test: fetchHalfRead},
		{Name: "fetch/stops", Doc: "the sink's error ends the fetch and comes out", Read: true, test: fetchStops},
	}
}

func fetchMetadata(f *fixture) {
	for _, l := range []letter{newLetter(f.w.Address()), newLetter(f.w.Address(), attached(2000))} {
		before := time.Now().Add(-time.Minute)
		id := f.deliver("", l)
		got := f.metadata(id)[id]
		f.same("subject", got.Subject, l.want.Subject)
		f.same("message-id", got.MessageID, l.want.MessageID)
		f.same("in-reply-to", strings.Join(got.InReplyTo, " "), strings.Join(l.want.InReplyTo, " "))
		f.same("references", strings.Join(got.References, " "), strings.Join(l.want.References, " "))
		f.same("sent at", got.SentAt.UTC().String(), l.want.SentAt.String())
		f.people("from", got.From, l.want.From)
		f.people("to", got.To, l.want.To)
		f.people("cc", got.Cc, l.want.Cc)
		if got.HasAttachments != l.want.HasAttachments {
			f.Errorf("has attachments is %v, want %v", got.HasAttachments, l.want.HasAttachments)
		}
		if got.ReceivedAt.Before(before) || got.ReceivedAt.After(time.Now().Add(time.Minute)) {
			f.Errorf("received at %v, want about now", got.ReceivedAt)
		}
		if got.ReceivedAt.Nanosecond() != 0 || got.ReceivedAt.Location() != time.UTC || got.SentAt.Location() != time.UTC {
			f.Errorf("received at %v, sent at %v: want UTC in whole seconds", got.ReceivedAt, got.SentAt)
		}
		if n := len([]rune(got.Preview)); n > 256 {
			f.Errorf("the preview has %d characters", n)
		}
		if !slices.IsSorted(got.Mailboxes) || !slices.IsSorted(got.Keywords) {
			f.Errorf("mailboxes %v and keywords %v must be sorted", got.Mailboxes, got.Keywords)
		}
		if got.Size != 0 && f.knows() && got.Size != f.own()[id].Size {
			f.Errorf("size is %d, want %d or unknown", got.Size, f.own()[id].Size)
		}
	}
}

func (f *fixture) same(what, got, want string) {
	f.Helper()
	if got != want {
		f.Errorf("%s is %q, want %q", what, got, want)
	}
}

// people compares addresses; a name that was not there may be made up from
// the address, as some providers do.
func (f *fixture) people(what string, got, want []mail.Address) {
	f.Helper()
	if len(got) != len(want) {
		f.Errorf("%s is %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if !strings.EqualFold(got[i].Email, want[i].Email) || want[i].Name != "" && got[i].Name != want[i].Name {
			f.Errorf("%s is %v, want %v", what, got, want)
		}
	}
}

func fetchPlacement(f *fixture) {
	id := f.deliver("", newLetter(f.w.Address()))
	if f.info.HoldsKeyword(mail.Flagged) {
		f.setKeywords(id, mail.Flagged)
	}
	var got mail.Message
	var want Message
	f.eventually("metadata agrees with the truth", func() bool {
		got, want = f.metadata(id)[id], f.own()[id]
		return slices.Equal(got.Mailboxes, slices.Sorted(slices.Values(want.Mailboxes))) &&
			slices.Equal(f.held(got.Keywords), f.held(want.Keywords))
	})
	if f.Failed() {
		f.Logf("metadata has mailboxes %v, keywords %v; the truth is %v, %v", got.Mailboxes, got.Keywords, want.Mailboxes, want.Keywords)
	}
	for _, k := range got.Keywords {
		if !f.info.HoldsKeyword(k) {
			f.Errorf("metadata has keyword %q, which Info.Keywords does not name", k)
		}
	}
}

// checkRaw compares raw bytes with the truth.
func (f *fixture) checkRaw(id string) {
	f.Helper()
	raw, want := f.bytes(id)[id], f.own()[id]
	sum := sha256.Sum256(raw)
	if int64(len(raw)) != want.Size || hex.EncodeToString(sum[:]) != want.SHA256 {
		f.Errorf("raw bytes of %s: %d octets, digest %x; the truth is %d, %s", id, len(raw), sum, want.Size, want.SHA256)
	}
}

func fetchRaw(f *fixture) {
	for _, l := range []letter{newLetter(f.w.Address()), newLetter(f.w.Address(), attached(700_000))} {
		f.checkRaw(f.deliver("", l))
	}
}

func fetchExact(f *fixture) {
	l := newLetter(f.w.Address(), attached(100_000))
	id := f.deliver("", l)
	if got := f.bytes(id)[id]; string(got) != string(l.raw) {
		f.Errorf("raw bytes: %d octets come back of %d, or others", len(got), len(l.raw))
	}
}

func fetchRepeat(f *fixture) {
	id := f.deliver("", newLetter(f.w.Address(), attached(5000)))
	if a, b := f.bytes(id)[id], f.bytes(id)[id]; len(a) == 0 || string(a) != string(b) {
		f.Errorf("raw bytes differ from one time to the next, or are none")
	}
}

func fetchEachOnce(f *fixture) {
	var ids []string
	for range 8 {
		ids = append(ids, f.deliver("", newLetter(f.w.Address(), attached(2000))))
	}
	for mode, name := range map[provider.FetchMode]string{provider.FetchMetadata: "metadata", provider.FetchRaw: "raw"} {
		s := &sink{}
		f.must("fetch "+name, f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: ids, Mode: mode}, s))
		if got, want := slices.Sorted(slices.Values(s.order)), slices.Sorted(slices.Values(ids)); !slices.Equal(got, want) {
			f.Errorf("fetch %s answered %v, asked for %v", name, got, want)
		}
		if s.busy.clashed.Load() {
			f.Errorf("fetch %s called the sink while it was busy", name)
		}
		if mode == provider.FetchRaw && len(s.messages) > 0 || mode == provider.FetchMetadata && len(s.raw) > 0 {
			f.Errorf("fetch %s gave what was not asked for", name)
		}
	}
}

// lost is the id of a message that was there and is gone.
func (f *fixture) lost() string {
	f.Helper()
	id := f.deliver("", newLetter(f.w.Address()))
	f.remove(id)
	return id
}

// failsAlone fetches a bad id between two good ones.
func (f *fixture) failsAlone(bad string, kinds ...mail.Kind) {
	f.Helper()
	first, last := f.deliver("", newLetter(f.w.Address())), f.deliver("", newLetter(f.w.Address()))
	for mode, name := range map[provider.FetchMode]string{provider.FetchMetadata: "metadata", provider.FetchRaw: "raw"} {
		s := &sink{}
		f.must("fetch "+name, f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: []string{first, bad, last}, Mode: mode}, s))
		f.kind("fetch "+name+" of a bad id", s.failed[bad], kinds...)
		if len(s.failed) != 1 || len(s.messages)+len(s.raw) != 2 {
			f.Errorf("fetch %s: %d read and %d failed, want 2 and 1", name, len(s.messages)+len(s.raw), len(s.failed))
		}
	}
}

func fetchGone(f *fixture) { f.failsAlone(f.lost(), mail.KindNotFound) }

func fetchMalformed(f *fixture) {
	f.failsAlone("no such id \x01/?%&", mail.KindNotFound, mail.KindInvalid)
}

func fetchNothing(f *fixture) {
	s := &sink{}
	f.must("fetch nothing", f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call()}, s))
	if len(s.order) > 0 {
		f.Errorf("fetch of nothing answered %v", s.order)
	}
}

// halfReader reads a few bytes of its first message only.
type halfReader struct {
	sink
	started bool
}

func (h *halfReader) Raw(id, tag string, r io.Reader) error {
	if !h.started {
		h.started = true
		_, err := io.ReadFull(r, make([]byte, 10))
		return err
	}
	return h.sink.Raw(id, tag, r)
}

func fetchHalfRead(f *fixture) {
	a, b := newLetter(f.w.Address(), attached(600_000)), newLetter(f.w.Address(), attached(600_000))
	ids := []string{f.deliver("", a), f.deliver("", b)}
	h := &halfReader{}
	err, ended := f.within("fetch", func() error {
		return f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: ids, Mode: provider.FetchRaw}, h)
	})
	if !ended {
		return
	}
	f.must("fetch", err)
	for id, raw := range h.raw {
		if whole := f.bytes(id)[id]; string(whole) != string(raw) {
			f.Errorf("the message after one that was half read has %d octets of %d, or others", len(raw), len(whole))
		}
	}
	if len(h.raw) != 1 {
		f.Errorf("%d messages came after the one that was half read, want 1", len(h.raw))
	}
}

func fetchStops(f *fixture) {
	var ids []string
	for range 3 {
		ids = append(ids, f.deliver("", newLetter(f.w.Address())))
	}
	call := f.call()
	for mode, name := range map[provider.FetchMode]string{provider.FetchMetadata: "metadata", provider.FetchRaw: "raw"} {
		s := &sink{stop: func(string) error { return errStop }}
		err, ended := f.within("fetch "+name, func() error {
			return f.p.Fetch(f.ctx, &provider.FetchRequest{Call: call, IDs: ids, Mode: mode}, s)
		})
		if !ended {
			return
		}
		if !errors.Is(err, errStop) {
			f.Errorf("fetch %s: the sink's error became %v", name, err)
		}
		if len(s.order) != 1 {
			f.Errorf("fetch %s called the sink %d times after its error", name, len(s.order)-1)
		}
	}
}
