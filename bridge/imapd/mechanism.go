package imapd

import (
	"bytes"
	"errors"
	"strings"
)

var (
	errLong      = errors.New("the answer is too long")
	errCancelled = errors.New("cancelled by the client")
	errBase64    = errors.New("the answer is not base64")
	errShape     = errors.New("the answer is not what the mechanism wants")
	errIdentity  = errors.New("acting for somebody else is not possible")
)

// A mechanism gets a user's name and secret out of a client.
type mechanism func(*dialogue) (user, secret string, err error)

// mechanisms are those of AUTH=, in mechanismNames' order there.
var mechanisms = map[string]mechanism{
	"PLAIN": plain, "LOGIN": loginMechanism, "OAUTHBEARER": oauthBearer, "XOAUTH2": xoauth2,
}

var mechanismNames = []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}

// plain is RFC 4616.
func plain(d *dialogue) (string, string, error) {
	b, err := d.ask("")
	if err != nil {
		return "", "", err
	}
	parts := bytes.Split(b, []byte{0})
	if len(parts) != 3 {
		return "", "", errShape
	}
	if id := string(parts[0]); id != "" && id != string(parts[1]) {
		return "", "", errIdentity
	}
	return string(parts[1]), string(parts[2]), nil
}

// loginMechanism is draft-murchison-sasl-login, which old clients have alone.
func loginMechanism(d *dialogue) (string, string, error) {
	user, err := d.ask("User Name")
	if err != nil {
		return "", "", err
	}
	secret, err := d.ask("Password")
	return string(user), string(secret), err
}

// oauthBearer is RFC 7628: "n,a=user,^Ahost=..^Aauth=Bearer token^A^A".
func oauthBearer(d *dialogue) (string, string, error) {
	b, err := d.ask("")
	if err != nil {
		return "", "", err
	}
	head, rest, ok := strings.Cut(string(b), "\x01")
	flags := strings.Split(head, ",")
	if !ok || len(flags) != 3 || flags[0] != "n" && flags[0] != "y" {
		return "", "", errShape
	}
	user := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(strings.TrimPrefix(flags[1], "a="))
	token, err := bearer(rest)
	return user, token, err
}

// xoauth2 is what came before RFC 7628 and what most mail programs have:
// "user=name^Aauth=Bearer token^A^A".
func xoauth2(d *dialogue) (string, string, error) {
	b, err := d.ask("")
	if err != nil {
		return "", "", err
	}
	head, rest, ok := strings.Cut(string(b), "\x01")
	user, is := strings.CutPrefix(head, "user=")
	if !ok || !is {
		return "", "", errShape
	}
	token, err := bearer(rest)
	return user, token, err
}

func bearer(fields string) (string, error) {
	for _, f := range strings.Split(fields, "\x01") {
		value, ok := strings.CutPrefix(f, "auth=")
		if !ok {
			continue
		}
		scheme, token, ok := strings.Cut(value, " ")
		if ok && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token), nil
		}
	}
	return "", errShape
}
