package session

import (
	"context"
	"errors"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Status is the condition of a tagged response (RFC 9051, 7.1).
type Status string

// Statuses.
const (
	OK  Status = "OK"
	No  Status = "NO"
	Bad Status = "BAD"
)

// Tagged is the answer that ends a command.
type Tagged struct {
	Status Status
	// Code is the response code without its brackets, with its arguments:
	// "TRYCREATE", "COPYUID 1 2 3". Empty where there is none.
	Code string
	// Text is for people: one line of ASCII, never empty.
	Text string
}

// codes is the one table of what an error is to a mail program: RFC 5530's
// response code, and the words where the error's own would not help its owner.
var codes = map[mail.Kind]struct{ code, text string }{
	mail.KindThrottled:      {"UNAVAILABLE", "The provider is limiting this account at the moment; try again later"},
	mail.KindUnavailable:    {"UNAVAILABLE", ""},
	mail.KindUnauthorized:   {"AUTHENTICATIONFAILED", "User name or password is wrong"},
	mail.KindForbidden:      {"NOPERM", ""},
	mail.KindGrantExpired:   {"UNAVAILABLE", "The provider no longer takes the gateway's permission for this account: connect the account again at the gateway; the password stays good"},
	mail.KindMisconfigured:  {"CONTACTADMIN", ""},
	mail.KindNotFound:       {"NONEXISTENT", ""},
	mail.KindInvalid:        {"CANNOT", ""},
	mail.KindConflict:       {"INUSE", ""},
	mail.KindCursorExpired:  {"UNAVAILABLE", ""},
	mail.KindTooLarge:       {"TOOBIG", ""},
	mail.KindOverQuota:      {"OVERQUOTA", ""},
	mail.KindOutcomeUnknown: {"UNAVAILABLE", "The provider did not say whether it did this; look before you try again"},
	mail.KindInternal:       {"SERVERBUG", "Something went wrong inside the gateway; its log says what"},
}

// Over is an error after which a session cannot go on: what the client knows of
// its mailbox cannot be brought up to date any more.
type Over struct {
	Err error
	// Text is what the client is told with BYE: one line of ASCII.
	Text string
}

func (o *Over) Error() string { return "session is over: " + o.Err.Error() }

// Unwrap gives the cause.
func (o *Over) Unwrap() error { return o.Err }

// over says that the session cannot go on. To tell the client of a deleted
// mailbox that its messages are gone, one by one, would make programs that sync
// two ways delete them on the other side, too.
func over(err error) error {
	return &Over{Err: err, Text: Answer(err).Text}
}

// coded is an error that names its response code itself.
type coded struct {
	error
	code string
}

func (c coded) Unwrap() error { return c.error }

// withCode gives an error a response code of its own.
func withCode(code string, err error) error { return coded{err, code} }

// worded is an error whose own words say more than those of the table: at a
// login, what its owner can do about it.
type worded struct{ error }

func (w worded) Unwrap() error { return w.error }

// Answer is what a failed command is answered.
func Answer(err error) *Tagged {
	if err == nil {
		return &Tagged{Status: OK, Text: "Done"}
	}
	var syntax *wire.SyntaxError
	if errors.As(err, &syntax) {
		return &Tagged{Status: Bad, Text: line(syntax.Error())}
	}
	var bad badCommand
	if errors.As(err, &bad) {
		return &Tagged{Status: Bad, Text: line(string(bad))}
	}
	open := mail.KindOf(err) == mail.KindOutcomeUnknown // a write that was given up
	if !open && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return &Tagged{Status: No, Code: "UNAVAILABLE", Text: "The command was interrupted"}
	}
	row, known := codes[mail.KindOf(err)]
	if !known {
		row = codes[mail.KindInternal]
	}
	t := &Tagged{Status: No, Code: row.code, Text: row.text}
	var own worded
	if t.Text == "" || errors.As(err, &own) && t.Code != codes[mail.KindInternal].code {
		var e *mail.Error
		errors.As(err, &e)
		t.Text = line(e.Message)
	}
	var c coded
	if errors.As(err, &c) {
		t.Code = c.code
	}
	return t
}

// line makes of any words what a response may carry: one line of ASCII, not
// too long. Words of a provider may hold anything.
func line(s string) string {
	const longest = 400
	var b strings.Builder
	for _, r := range s {
		switch {
		case b.Len() >= longest:
			return b.String()
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
		case r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "Failed"
	}
	return b.String()
}
