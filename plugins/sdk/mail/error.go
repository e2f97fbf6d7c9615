package mail

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies an Error. It alone decides whether a call is tried again,
// and the code that GraphQL, IMAP and SMTP answer with.
type Kind string

// Kinds of error.
const (
	// KindThrottled: the provider's quota is spent; RetryAfter says until when.
	KindThrottled Kind = "throttled"
	// KindUnavailable: a passing fault of network or provider.
	KindUnavailable Kind = "unavailable"
	// KindUnauthorized: the caller's own credentials are missing or wrong.
	KindUnauthorized Kind = "unauthorized"
	// KindForbidden: the grant or the caller lacks the right.
	KindForbidden Kind = "forbidden"
	// KindGrantExpired: the owner must connect the account again.
	KindGrantExpired Kind = "grant_expired"
	// KindMisconfigured: the operator must correct the provider's settings;
	// no owner can help.
	KindMisconfigured Kind = "misconfigured"
	KindNotFound      Kind = "not_found"
	KindInvalid       Kind = "invalid"
	KindConflict      Kind = "conflict"
	// KindCursorExpired: the change cursor is too old; compare everything.
	KindCursorExpired Kind = "cursor_expired"
	KindTooLarge      Kind = "too_large"
	KindOverQuota     Kind = "over_quota"
	// KindOutcomeUnknown: the request may or may not have been carried out.
	// It is never repeated blindly: Probe or the operation id settles it.
	KindOutcomeUnknown Kind = "outcome_unknown"
	KindInternal       Kind = "internal"
)

// Error is the one error that crosses packages and processes.
type Error struct {
	Kind Kind
	// Op is what failed, in words: "list mailboxes".
	Op string
	// Code is the provider's own code, for logs and support ("AADSTS50173").
	Code string
	// Message is for people. It holds no secret and no mail.
	Message string
	// Link is where somebody can put it right, an address that may be handed
	// on to whoever has the right to: an administrator's consent page.
	Link string
	// RetryAfter is how long to wait at least, 0 where nobody said.
	RetryAfter time.Duration
	// Err is the cause, which stays in its process.
	Err error
}

// Error gives operation, message and code in one line.
func (e *Error) Error() string {
	msg := e.Message
	if msg == "" && e.Err != nil {
		msg = e.Err.Error()
	}
	if msg == "" {
		msg = string(e.Kind)
	}
	if e.Code != "" {
		msg = fmt.Sprintf("%s (%s)", msg, e.Code)
	}
	if e.Op == "" {
		return msg
	}
	return e.Op + ": " + msg
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. A %w verb keeps its cause.
func Errorf(kind Kind, op, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Op: op, Message: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf finds the kind of an error: that of the outermost Error in its chain,
// internal where there is none, empty for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// CodeAdminConsent is the code of a sign-in that was refused because an
// administrator must allow the application first. Its Link is where.
const CodeAdminConsent = "admin_consent_required"

// Link finds where somebody can put an error right, empty where nobody said.
func Link(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Link
	}
	return ""
}

// RetryAfter finds how long an error asks to wait, 0 where it does not say.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
