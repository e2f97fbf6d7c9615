package smtpd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

type enhanced = smtp.EnhancedCode

// kinds is what each kind of error is answered with (RFC 5321, 4.2; RFC 3463).
// 4xx has the program try again, 5xx has it tell its user. Forbidden is what
// Exchange says of a sender that is not the client's to use.
var kinds = map[mail.Kind]struct {
	code int
	enhanced
}{
	mail.KindThrottled:      {450, enhanced{4, 7, 1}},
	mail.KindUnavailable:    {451, enhanced{4, 3, 0}},
	mail.KindUnauthorized:   {535, enhanced{5, 7, 8}},
	mail.KindForbidden:      {550, enhanced{5, 7, 60}},
	mail.KindGrantExpired:   {454, enhanced{4, 7, 0}},
	mail.KindMisconfigured:  {451, enhanced{4, 3, 5}},
	mail.KindNotFound:       {554, enhanced{5, 0, 0}},
	mail.KindInvalid:        {554, enhanced{5, 6, 0}},
	mail.KindConflict:       {554, enhanced{5, 0, 0}},
	mail.KindTooLarge:       {552, enhanced{5, 3, 4}},
	mail.KindOverQuota:      {452, enhanced{4, 2, 2}},
	mail.KindOutcomeUnknown: {451, enhanced{4, 4, 2}},
	mail.KindInternal:       {451, enhanced{4, 3, 0}},
}

// reply answers an error.
func reply(err error) *smtp.SMTPError {
	k, ok := kinds[mail.KindOf(err)]
	if !ok {
		k = kinds[mail.KindInternal]
	}
	text := "Internal error, try again later"
	var e *mail.Error
	if errors.As(err, &e) && e.Kind != mail.KindInternal {
		shown := *e
		shown.Err, shown.Op = nil, "" // the cause stays here
		text = shown.Error()
	}
	return answer(k.code, k.enhanced, "%s", text)
}

// loginReply answers a login that was refused (RFC 4954, 6). Only a wrong user
// name or secret is said to be one: at that, programs forget the password.
func loginReply(err error) *smtp.SMTPError {
	a := reply(err)
	switch mail.KindOf(err) {
	case mail.KindUnauthorized:
	case mail.KindForbidden, mail.KindConflict:
		a.Code, a.EnhancedCode = 535, enhanced{5, 7, 1} // right, and not for this
	default:
		a.Code, a.EnhancedCode = 454, enhanced{4, 7, 0}
	}
	return a
}

// answer makes an answer of one line (RFC 5321, 4.5.3.1.5: at most 512 octets).
func answer(code int, e enhanced, format string, args ...any) *smtp.SMTPError {
	text := strings.Map(func(r rune) rune {
		switch {
		case r < ' ':
			return ' '
		case r > '~':
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	return &smtp.SMTPError{Code: code, EnhancedCode: e, Message: text[:min(len(text), 450)]}
}

// replyLine is an answer as it goes on the wire.
func replyLine(a *smtp.SMTPError) string {
	return fmt.Sprintf("%d %d.%d.%d %s", a.Code, a.EnhancedCode[0], a.EnhancedCode[1], a.EnhancedCode[2], a.Message)
}

var (
	errEncrypt   = answer(530, enhanced{5, 7, 0}, "STARTTLS first: no password without encryption") // RFC 3207, 4
	errMechanism = answer(504, enhanced{5, 5, 4}, "This mechanism is not offered")
	errSyntax    = answer(501, enhanced{5, 5, 2}, "This is no message of the mechanism")
	errIdentity  = answer(535, enhanced{5, 7, 8}, "Nobody acts for somebody else here")
	errTries     = answer(421, enhanced{4, 7, 0}, "Too many wrong logins")
	errCrowded   = answer(421, enhanced{4, 7, 0}, "Too many connections of this account")
	errLogin     = answer(530, enhanced{5, 7, 0}, "Log in first")
	errNested    = answer(503, enhanced{5, 5, 1}, "A message is begun already")
	errSender    = answer(553, enhanced{5, 1, 7}, "This sender is not an address")
	errRecipient = answer(553, enhanced{5, 1, 3}, "This recipient is not an address")
	errUTF8      = answer(553, enhanced{5, 6, 7}, "SMTPUTF8 is needed for this address")
	errSize      = answer(552, enhanced{5, 3, 4}, "The message is larger than the provider takes")
	errSpool     = answer(452, enhanced{4, 3, 1}, "Too many messages come in, try again later")
	errBroken    = answer(451, enhanced{4, 3, 0}, "The message could not be received, try again later")
	errGivenUp   = answer(451, enhanced{4, 3, 0}, "The message was given up")
	errAmbiguous = answer(554, enhanced{5, 6, 0}, "The message has a line of a dot between bare line feeds or carriage returns")
)
