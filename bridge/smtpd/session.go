package smtpd

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/submission"
)

// session is one connection's commands, as the library calls them.
type session struct {
	s      *Server
	c      *conn
	lib    *smtp.Server
	ctx    context.Context // the connection's
	cut    context.CancelFunc
	remote netip.Addr
	tries  int
	who    *access.Principal
	left   func()        // gives back what the login took
	hurry  chan struct{} // closed when no verdict is to be waited for

	// mu guards the envelope: a message in chunks is read in a goroutine of its
	// own, which a reset may overtake.
	mu   sync.Mutex
	open bool
	env  submission.Letter
}

// maxTries is how many wrong logins a connection has.
const maxTries = 3

// cleartext reports whether a password may come without TLS.
func (s *session) cleartext() bool { return s.s.opts.Cleartext && s.remote.IsLoopback() }

// AuthMechanisms lists what is offered now: nothing that would carry a password
// in the clear.
func (s *session) AuthMechanisms() []string {
	if s.who != nil || !s.c.secure && !s.cleartext() {
		return nil
	}
	return []string{mechPlain, mechLogin, mechOAuthBearer, mechXOAuth2}
}

// Auth begins AUTH (RFC 4954).
func (s *session) Auth(mech string) (sasl.Server, error) {
	if !s.c.secure && !s.cleartext() {
		return nil, errEncrypt
	}
	server := newSASL(mech, func(user, secret string, bearer bool) *smtp.SMTPError {
		return s.login(mech, user, secret, bearer)
	})
	if server == nil {
		return nil, errMechanism
	}
	return server, nil
}

func (s *session) login(mech, user, secret string, bearer bool) *smtp.SMTPError {
	who, err := s.s.opts.Auth.Login(s.ctx, access.Login{User: user, Secret: secret, Mechanism: mech, Bearer: bearer,
		Need: []access.Scope{access.ScopeSMTP}, Remote: s.remote, Client: s.c.helo})
	if err != nil {
		answer := loginReply(err)
		if s.tries++; answer.Code == 535 && s.tries >= maxTries {
			s.c.end = true
			return errTries
		}
		return answer
	}
	limit, err := s.s.opts.Submissions.Limit(s.ctx, who.Account)
	if err != nil {
		return loginReply(err)
	}
	if !s.s.join(who.Account) {
		s.c.end = true
		return errCrowded
	}
	revoked, release := s.s.opts.Auth.Revoked(who)
	stop := make(chan struct{})
	s.hurry = make(chan struct{})
	go s.watch(revoked, stop)
	s.left = func() {
		close(stop)
		release()
		s.s.part(who.Account)
	}
	s.who = who
	s.lib.MaxMessageBytes = ceiling(limit)
	s.lib.TLSConfig = nil // STARTTLS is not for who has logged in, and not offered any more
	return nil
}

// watch ends the connection of who may not be here any more. A message that is
// on disk by then is answered first: it will be sent.
func (s *session) watch(revoked, stop <-chan struct{}) {
	select {
	case <-revoked:
	case <-s.c.closing:
	case <-stop:
	}
	close(s.hurry)
	select {
	case <-revoked:
		s.c.revoke()
	case <-stop:
		return
	}
	timer := time.NewTimer(s.c.times.farewell)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.cut()
	case <-stop:
	}
}

// leave gives back what a login took.
func (s *session) leave() {
	if s.left != nil {
		s.left()
		s.left = nil
	}
}

// join counts a connection of an account.
func (s *Server) join(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[account] >= s.opts.PerAccount {
		return false
	}
	s.of[account]++
	return true
}

func (s *Server) part(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[account]--; s.of[account] <= 0 {
		delete(s.of, account)
	}
}

// Mail is MAIL FROM (RFC 5321, 4.1.1.2).
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.who == nil {
		return errLogin
	}
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	if open {
		return errNested
	}
	if from != "" && !submission.Deliverable(from) {
		return errSender
	}
	if !o.UTF8 && !ascii(from) {
		return errUTF8
	}
	if s.s.opts.Room != nil {
		if err := s.s.opts.Room(s.ctx); err != nil {
			return reply(err)
		}
	}
	if from != "" && !s.s.opts.Relaxed {
		if err := s.s.opts.Submissions.MaySend(s.ctx, s.who.Account, from); err != nil {
			return s.answer(reply(err))
		}
	}
	if wait, ok := s.s.rates.take(s.who.Account + " " + s.who.Password); !ok {
		return s.answer(answer(450, enhanced{4, 7, 1}, "Too many messages, try again in %d seconds", int(wait.Seconds())+1))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	s.env = submission.Letter{Account: s.who.Account, From: from, EnvelopeID: o.EnvelopeID, ReturnHeaders: o.Return == smtp.DSNReturnHeaders,
		Wait: s.s.opts.Wait, Hurry: s.hurry, Relaxed: s.s.opts.Relaxed}
	return nil
}

// Rcpt is RCPT TO (RFC 5321, 4.1.1.3).
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	if !submission.Deliverable(to) {
		return errRecipient
	}
	r := submission.Recipient{Address: to}
	for _, n := range o.Notify {
		switch n {
		case smtp.DSNNotifyNever:
			r.Never = true
		case smtp.DSNNotifyFailure:
			r.Failure = true
		case smtp.DSNNotifySuccess:
			r.Success = true
		case smtp.DSNNotifyDelayed:
			// It is never told of a delay, and of nothing else unless it says so.
			r.Never = len(o.Notify) == 1
		}
	}
	if o.OriginalRecipient != "" {
		r.Original = fmt.Sprintf("%s;%s", strings.ToLower(string(o.OriginalRecipientType)), o.OriginalRecipient)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env.Recipients = append(s.env.Recipients, r)
	return nil
}

// Reset forgets the envelope (RFC 5321, 4.1.1.5).
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.env = false, submission.Letter{}
}

// Logout ends the session. The library calls it at the connection's end.
func (s *session) Logout() error { return nil }

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}

// answer counts what a message is answered with.
func (s *session) answer(e *smtp.SMTPError) error {
	s.s.metrics.answered(e.Code)
	return e
}
