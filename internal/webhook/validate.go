package webhook

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxURL is the longest URL that is taken.
const maxURL = 2048

// checkURL refuses URLs that we would not, or should not, send to. It resolves
// no names: what they lead to is looked at when they are dialled.
func (s *Service) checkURL(op, raw string) error {
	bad := func(format string, args ...any) error {
		return mail.Errorf(mail.KindInvalid, op, format, args...)
	}
	if raw == "" {
		return bad("the URL is missing")
	}
	if len(raw) > maxURL {
		return bad("the URL is longer than %d characters", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return bad("this is not a URL") // the error would quote it, with what may be a password
	}
	switch {
	case u.User != nil:
		return bad("the URL carries credentials; every request is signed, and the receiver checks that")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("the URL must begin with https://")
	case u.Opaque != "" || u.Hostname() == "":
		return bad("the URL names no host")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return bad("the URL has a fragment (#), which is never sent")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return bad("the URL's port must be between 1 and 65535")
		}
	}
	if err := s.guard.checkURL(u); err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			return &mail.Error{Kind: mail.KindInvalid, Op: op, Message: refused.Error(), Err: err}
		}
		return bad("%w", err)
	}
	return nil
}

// hostName brings a host name into its one spelling: lower case, ASCII, no dot
// at the end. It refuses what some resolvers take for an address and others
// for a name ("127.1", "0x7f000001"), as WHATWG URL's "ends in a number" does.
func hostName(host string) (string, error) {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || name == "" || len(name) > 253 {
		// Underscores are no host names (RFC 1123), but are used inside networks.
		name = strings.ToLower(strings.TrimSuffix(host, "."))
	}
	name = strings.ToLower(name)
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errors.New("the URL's host is neither a name nor an address")
		}
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		return "", errors.New("the URL's host is neither a name nor an address in its usual spelling")
	}
	return name, nil
}
