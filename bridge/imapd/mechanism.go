package imapd

import (
	"errors"

	"github.com/postern-mail/postern/bridge/mechanism"
)

var (
	errLong      = errors.New("the answer is too long")
	errCancelled = errors.New("cancelled by the client")
	errBase64    = errors.New("the answer is not base64")
)

// A mechanismFunc gets a user's name and secret out of a client.
type mechanismFunc func(*dialogue) (user, secret string, err error)

// mechanisms are those of AUTH=, in mechanismNames' order there.
var mechanisms = map[string]mechanismFunc{
	"PLAIN": inOne(mechanism.Plain), "LOGIN": loginMechanism, "OAUTHBEARER": inOne(mechanism.OAuthBearer), "XOAUTH2": inOne(mechanism.XOAuth2),
}

var mechanismNames = []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}

// inOne is a mechanism whose client says everything in one message.
func inOne(read func([]byte) (user, secret string, err error)) mechanismFunc {
	return func(d *dialogue) (string, string, error) {
		b, err := d.ask("")
		if err != nil {
			return "", "", err
		}
		return read(b)
	}
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
