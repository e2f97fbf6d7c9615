package session

import (
	"context"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Select opens a mailbox, to look only where readOnly is set (EXAMINE). One
// that was selected is left, whatever comes of it (RFC 9051, 6.3.2).
func (s *Session) Select(ctx context.Context, name string, readOnly bool) (*Selected, error) {
	s.leave()
	t, err := s.tree(ctx)
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if err != nil {
		return nil, err
	}
	b, err := s.server.boxes.Open(ctx, n.mailbox.ID)
	if err != nil {
		return nil, err
	}
	readOnly = readOnly || s.mayWrite() != nil
	shot := b.Snapshot()
	v := &selected{box: b, mailbox: n.mailbox, readOnly: readOnly,
		uids: shot.UIDs, shared: true, version: shot.Version, modSeq: shot.ModSeq,
		told: map[uint32]string{}, keywords: namesOf(b)}
	v.woken, v.unwatch = b.Watch()
	v.unlisten = s.server.opts.Mirror.Listen([]string{s.account})
	s.sel = v
	out := &Selected{
		List: t.entry(n, ListRequest{}), Flags: v.keywords.flags(), Exists: uint32(len(v.uids)),
		FirstUnseen: uint32(shot.FirstUnseen), UIDNext: shot.UIDNext, UIDValidity: shot.UIDValidity,
		HighestModSeq: shot.ModSeq, ReadOnly: readOnly,
	}
	if !readOnly {
		for _, f := range out.Flags {
			if f != box.Draft { // a message is a draft or is not
				out.PermanentFlags = append(out.PermanentFlags, f)
			}
		}
		if !v.keywords.full() {
			// New keywords may be made: what the provider cannot hold stays with us.
			out.PermanentFlags = append(out.PermanentFlags, `\*`)
		}
	}
	return out, nil
}

// Unselect leaves the mailbox (RFC 9051, 6.4.2).
func (s *Session) Unselect() { s.leave() }

// CloseMailbox expunges without a word and leaves the mailbox, unless it was
// opened to look only (RFC 9051, 6.4.1). Where that fails it stays selected.
func (s *Session) CloseMailbox(ctx context.Context) error {
	v := s.sel
	if v == nil {
		return nil
	}
	if !v.readOnly {
		if err := v.box.CatchUp(ctx); err != nil {
			return err
		}
		done, err := s.expungeAll(ctx, nil)
		if err == nil {
			err = done.failed
		}
		if err != nil {
			return err
		}
	}
	s.leave()
	return nil
}

// Idle tells of changes until stop is closed or ctx ends. It looks first and
// waits then, so nothing that happened before it is missed (RFC 9051, 6.3.13).
func (s *Session) Idle(ctx context.Context, stop <-chan struct{}) error {
	if s.sel == nil {
		unlisten := s.server.opts.Mirror.Listen([]string{s.account})
		defer unlisten()
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		if err := s.poll(ctx, s.out, true); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.sel.woken:
		}
	}
}

// writable answers why the selected mailbox cannot be changed, nil where it
// can.
func (s *Session) writable() error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	if s.sel != nil && s.sel.readOnly {
		return mail.Errorf(mail.KindInvalid, "change mail", "The mailbox was opened to look only")
	}
	return nil
}
