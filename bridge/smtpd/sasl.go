package smtpd

import (
	"errors"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/bridge/mechanism"
)

// The mechanisms, in the order in which they are offered. What their messages
// say is read as at the other door (package mechanism). Of the library's servers
// none is used: there is none for LOGIN and XOAUTH2, one for OAUTHBEARER that
// fails where a client answers an error by nothing, and PLAIN's would judge by
// rules of its own.
const (
	mechPlain       = "PLAIN"
	mechLogin       = "LOGIN"
	mechOAuthBearer = "OAUTHBEARER"
	mechXOAuth2     = "XOAUTH2"
)

// check takes a user name and a secret, and says why they are refused.
type check func(user, secret string, bearer bool) *smtp.SMTPError

// as makes an error of an answer, without one of nothing.
func as(refused *smtp.SMTPError) error {
	if refused == nil {
		return nil
	}
	return refused
}

func newSASL(mech string, ok check) sasl.Server {
	switch mech {
	case mechPlain:
		return &plainServer{ok: ok}
	case mechLogin:
		return &loginServer{ok: ok}
	case mechOAuthBearer:
		return &bearerServer{ok: ok, read: mechanism.OAuthBearer}
	case mechXOAuth2:
		return &bearerServer{ok: ok, read: mechanism.XOAuth2}
	}
	return nil
}

// plainServer is PLAIN (RFC 4616): one message, after an empty challenge where it
// did not come with the command.
type plainServer struct {
	ok    check
	asked bool
}

// Next takes the message.
func (s *plainServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !s.asked {
		s.asked = true
		return []byte{}, false, nil
	}
	user, password, err := mechanism.Plain(response)
	switch {
	case errors.Is(err, mechanism.ErrIdentity):
		return nil, false, errIdentity
	case err != nil:
		return nil, false, errSyntax
	}
	return nil, true, as(s.ok(user, password, false))
}

// loginServer is LOGIN (draft-murchison-sasl-login), which asks for the user
// name and then for the password. Some send the name with the command.
type loginServer struct {
	ok    check
	step  int
	user  string
	asked bool
}

// Next takes an answer.
func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.step == 0 && response == nil && !s.asked {
		s.asked = true
		return []byte("Username:"), false, nil
	}
	s.step++
	switch s.step {
	case 1:
		s.user = string(response)
		return []byte("Password:"), false, nil
	case 2:
		return nil, true, as(s.ok(s.user, string(response), false))
	}
	return nil, false, errSyntax
}

// bearerServer is OAUTHBEARER (RFC 7628) or XOAUTH2: a user name and a token in
// one message. A refusal is told by a challenge first, which the client answers
// by as good as nothing.
type bearerServer struct {
	ok      check
	read    func(b []byte) (user, token string, err error)
	refused *smtp.SMTPError
	asked   bool
}

// Next takes the message.
func (s *bearerServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.refused != nil:
		return nil, false, s.refused
	case response == nil && !s.asked:
		s.asked = true
		return []byte{}, false, nil
	}
	user, token, err := s.read(response)
	if err != nil {
		return nil, false, errSyntax
	}
	if err := s.ok(user, token, true); err != nil {
		if err.Code != 535 {
			return nil, false, err
		}
		s.refused = err
		return []byte(`{"status":"401","schemes":"bearer"}`), false, nil
	}
	return nil, true, nil
}
