// Package mechanism reads what mail programs say of themselves in SASL
// (RFC 4422): the messages of PLAIN, OAUTHBEARER and XOAUTH2, for both doors.
//
// What is kept true: nobody acts for somebody else, so an authorization
// identity that is not the user's own is refused; and a message that is not
// what its mechanism prescribes names nobody.
package mechanism

import (
	"bytes"
	"errors"
	"strings"
)

// Errors of messages that cannot be taken.
var (
	// ErrShape: it is not what the mechanism prescribes.
	ErrShape = errors.New("the answer is not what the mechanism wants")
	// ErrIdentity: it asks to act for somebody else (RFC 4616, section 2).
	ErrIdentity = errors.New("acting for somebody else is not possible")
)

// Plain reads PLAIN (RFC 4616): identity NUL user NUL password.
func Plain(message []byte) (user, password string, err error) {
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 {
		return "", "", ErrShape
	}
	identity, user := string(parts[0]), string(parts[1])
	if identity != "" && !strings.EqualFold(identity, user) {
		return "", "", ErrIdentity
	}
	return user, string(parts[2]), nil
}

// OAuthBearer reads OAUTHBEARER (RFC 7628, section 3.1): "n,a=user,^Ahost=..^A
// auth=Bearer token^A^A". The user may be left out.
func OAuthBearer(message []byte) (user, token string, err error) {
	gs2, rest, found := strings.Cut(string(message), "\x01")
	header := strings.Split(gs2, ",")
	if !found || len(header) != 3 || header[0] != "n" && header[0] != "y" || header[2] != "" {
		return "", "", ErrShape
	}
	if header[1] != "" {
		name, ok := strings.CutPrefix(header[1], "a=")
		if !ok {
			return "", "", ErrShape
		}
		user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name) // RFC 5801, section 4
	}
	token, err = bearer(rest)
	return user, token, err
}

// XOAuth2 reads XOAUTH2, which came before RFC 7628 and is what most mail
// programs have: "user=name^Aauth=Bearer token^A^A".
func XOAuth2(message []byte) (user, token string, err error) {
	head, rest, found := strings.Cut(string(message), "\x01")
	user, is := strings.CutPrefix(head, "user=")
	if !found || !is {
		return "", "", ErrShape
	}
	token, err = bearer(rest)
	return user, token, err
}

// bearer finds the token among key=value pairs, each ended by ^A, with one more
// at the end.
func bearer(fields string) (token string, err error) {
	pairs, found := strings.CutSuffix(fields, "\x01\x01")
	if !found {
		return "", ErrShape
	}
	for kv := range strings.SplitSeq(pairs, "\x01") {
		value, is := strings.CutPrefix(kv, "auth=")
		if !is {
			continue
		}
		scheme, t, found := strings.Cut(value, " ")
		if !found || !strings.EqualFold(scheme, "Bearer") || token != "" {
			return "", ErrShape
		}
		token = strings.TrimSpace(t)
	}
	if token == "" {
		return "", ErrShape
	}
	return token, nil
}
