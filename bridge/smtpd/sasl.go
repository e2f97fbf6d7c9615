package smtpd

import (
	"bytes"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// The mechanisms, in the order in which they are offered. PLAIN is the
// library's; it has no server for LOGIN and XOAUTH2, and one for OAUTHBEARER
// that fails where a client answers an error by nothing.
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
		return sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && !strings.EqualFold(identity, user) {
				return errIdentity // RFC 4616, 2: nobody acts for somebody else
			}
			return as(ok(user, password, false))
		})
	case mechLogin:
		return &loginServer{ok: ok}
	case mechOAuthBearer:
		return &bearerServer{ok: ok, parse: parseOAuthBearer}
	case mechXOAuth2:
		return &bearerServer{ok: ok, parse: parseXOAuth2}
	}
	return nil
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
	parse   func(b []byte) (user, token string, ok bool)
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
	user, token, ok := s.parse(response)
	if !ok {
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

// parseOAuthBearer reads a client's message (RFC 7628, 3.1).
func parseOAuthBearer(b []byte) (user, token string, ok bool) {
	gs2, rest, found := bytes.Cut(b, []byte{1})
	header := strings.Split(string(gs2), ",")
	if !found || len(header) != 3 || header[0] != "n" && header[0] != "y" || header[2] != "" {
		return "", "", false
	}
	if header[1] != "" {
		name, ok := strings.CutPrefix(header[1], "a=")
		if !ok {
			return "", "", false
		}
		user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name) // RFC 5801, 4
	}
	token, ok = bearerOf(rest)
	return user, token, ok
}

// parseXOAuth2 reads a client's message ("user=" user ^A "auth=Bearer " token ^A
// ^A).
func parseXOAuth2(b []byte) (user, token string, ok bool) {
	name, rest, found := bytes.Cut(b, []byte{1})
	user, isUser := strings.CutPrefix(string(name), "user=")
	token, ok = bearerOf(rest)
	return user, token, ok && found && isUser
}

// bearerOf finds the token among key=value pairs, each ended by ^A, with one
// more at the end.
func bearerOf(b []byte) (token string, ok bool) {
	pairs, found := strings.CutSuffix(string(b), "\x01\x01")
	if !found {
		return "", false
	}
	for _, kv := range strings.Split(pairs, "\x01") {
		k, v, _ := strings.Cut(kv, "=")
		if k != "auth" {
			continue
		}
		scheme, value, found := strings.Cut(v, " ")
		if !found || !strings.EqualFold(scheme, "Bearer") || token != "" {
			return "", false
		}
		token = strings.TrimSpace(value)
	}
	return token, token != ""
}
