package providertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// errStop is what the suite's callbacks end a stream with.
var errStop = errors.New("providertest: enough")

func enumerateCases() []Case {
	return []Case{
		{Name: "enumerate/truth", Doc: "every mailbox lists exactly what is in it", Read: true, test: enumerateTruth},
		{Name: "enumerate/newest-first", Doc: "a mailbox lists its newest message first", Read: true, test: enumerateNewestFirst},
		{Name: "enumerate/fields", Doc: "what a listing says of a message agrees with its metadata", Read: true, test: enumerateFields},
		{Name: "enumerate/unknown-mailbox", Doc: "a mailbox that is gone is not_found", Read: true, test: enumerateUnknown},
		{Name: "enumerate/stops", Doc: "the callback's error ends the listing and comes out", Read: true, test: enumerateStops},
	}
}

func enumerateTruth(f *fixture) {
	for range 3 {
		f.deliver("", newLetter(f.w.Address()))
	}
	f.deliver(f.elsewhere(), newLetter(f.w.Address()))
	for _, m := range f.mailboxes() {
		if m.Role == mail.RoleOutbox {
			continue
		}
		var want, got []string
		f.eventually("mailbox "+m.Name+" lists exactly what is in it", func() bool {
			want, got = nil, f.listed(m.ID)
			for id, t := range f.own() {
				if slices.Contains(t.Mailboxes, m.ID) {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			return slices.Equal(want, got)
		})
		if !slices.Equal(want, got) {
			f.Errorf("mailbox %s lists %v, holds %v", m.Name, got, want)
		}
	}
}

func enumerateNewestFirst(f *fixture) {
	for day := range 3 {
		f.deliver("", newLetter(f.w.Address()))
		if f.info.Has(provider.CapAppend) {
			f.appendAt(f.role(mail.RoleInbox).ID, newLetter(f.w.Address()), time.Now().AddDate(0, 0, -day-1))
		}
	}
	ids := f.listed(f.role(mail.RoleInbox).ID)
	known := f.metadata(ids...)
	for i := 1; i < len(ids); i++ {
		if newer, older := known[ids[i-1]].ReceivedAt, known[ids[i]].ReceivedAt; newer.Before(older) {
			f.Fatalf("message %d of %d was received %v, the one after it %v", i, len(ids), newer, older)
		}
	}
}

func enumerateFields(f *fixture) {
	inbox := f.role(mail.RoleInbox).ID
	id := f.deliver("", newLetter(f.w.Address()))
	if f.info.HoldsKeyword(mail.Flagged) {
		f.setKeywords(id, mail.Flagged)
	}
	f.eventually("a listing agrees with the metadata", func() bool {
		agrees := false
		want := f.metadata(id)[id]
		err := f.p.Enumerate(f.ctx, &provider.EnumerateRequest{Call: f.call(), Mailbox: inbox}, func(b *provider.EnumerateBatch) error {
			for _, m := range b.Messages {
				if m.ProviderID == id {
					agrees = slices.Contains(m.Mailboxes, inbox) &&
						(b.Fields&mail.FieldKeywords == 0 || slices.Equal(f.held(m.Keywords), f.held(want.Keywords))) &&
						(b.Fields&mail.FieldFlagged == 0 || m.HasKeyword(mail.Flagged) == want.HasKeyword(mail.Flagged)) &&
						(b.Fields&mail.FieldSeen == 0 || m.HasKeyword(mail.Seen) == want.HasKeyword(mail.Seen)) &&
						(b.Fields&mail.FieldEnvelope == 0 || m.Subject == want.Subject && m.ReceivedAt.Equal(want.ReceivedAt))
				}
			}
			return nil
		})
		f.must("enumerate", err)
		return agrees
	})
}

func enumerateUnknown(f *fixture) {
	err := f.p.Enumerate(f.ctx, &provider.EnumerateRequest{Call: f.call(), Mailbox: f.goneMailbox()}, func(*provider.EnumerateBatch) error { return nil })
	f.kind("enumerate a mailbox that is gone", err, mail.KindNotFound, mail.KindInvalid)
}

func enumerateStops(f *fixture) {
	f.deliver("", newLetter(f.w.Address()))
	call, inbox := f.call(), f.role(mail.RoleInbox).ID
	f.stops("enumerate", func(ctx context.Context, stop func() error) error {
		return f.p.Enumerate(ctx, &provider.EnumerateRequest{Call: call, Mailbox: inbox}, func(*provider.EnumerateBatch) error { return stop() })
	})
}

// stops runs a streaming verb whose callback fails at once: the verb must end
// with that error, and call back no more.
func (f *fixture) stops(what string, stream func(ctx context.Context, stop func() error) error) {
	f.Helper()
	calls := 0
	err, ended := f.within(what, func() error {
		return stream(f.ctx, func() error { calls++; return errStop })
	})
	if !ended {
		return
	}
	if !errors.Is(err, errStop) {
		f.Errorf("%s: the callback's error became %v", what, err)
	}
	if calls != 1 {
		f.Errorf("%s: called back %d times, want once", what, calls)
	}
}
