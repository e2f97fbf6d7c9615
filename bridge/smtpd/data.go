package smtpd

import (
	"errors"
	"io"

	"github.com/emersion/go-smtp"
)

// Data takes a message: r is for one in chunks (RFC 3030), which the library
// feeds; one after DATA is read past it. It answers once the message is on disk
// and the provider has said what it thinks of it, or had its time to.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	l := s.env
	s.mu.Unlock()
	var m *message
	if _, chunks := r.(*io.PipeReader); !chunks {
		m = s.c.message()
		r = m
	}
	sp := newSpool(s.s.opts.Spool, s.lib.MaxMessageBytes, &s.s.spooled)
	defer sp.close()
	if _, err := io.Copy(sp, r); err != nil {
		return s.unread(err)
	}
	switch {
	case m == nil && s.c.chunks.aborted:
		return errGivenUp // nobody hears it
	case m != nil && m.ambiguous:
		return s.answer(errAmbiguous)
	}
	l.Raw, l.Size, l.Digest = sp.reader(), sp.size, sp.digest()
	sub, err := s.s.opts.Submissions.Take(s.ctx, l)
	if err != nil {
		s.s.log.InfoContext(s.ctx, "message refused", "account", l.Account, "size", l.Size, "recipients", len(l.Recipients), "error", err)
		return s.answer(reply(err))
	}
	s.s.log.InfoContext(s.ctx, "message taken", "account", l.Account, "submission", sub.ID, "size", l.Size, "recipients", len(l.Recipients))
	return s.answer(answer(250, enhanced{2, 0, 0}, "OK: queued as %s", sub.ID))
}

// unread answers a message that did not come as a whole.
func (s *session) unread(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return s.answer(errSize)
	case errors.Is(err, smtp.ErrDataReset), errors.Is(err, io.ErrUnexpectedEOF):
		return err // nobody hears it
	case errors.Is(err, errSpoolFull):
		return s.answer(errSpool)
	}
	s.s.log.WarnContext(s.ctx, "message not received", "account", s.who.Account, "error", err)
	return s.answer(errBroken)
}
