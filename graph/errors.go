package graph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// codePersistedQueryNotFound is of the automatic persisted queries protocol: a
// client that reads it sends the whole query. It is no error of ours.
const codePersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND"

// codeOf is GraphQL's column of the table of error kinds, with the words for
// those that come without any.
func codeOf(kind mail.Kind) (code generated.ErrorCode, words string) {
	switch kind {
	case mail.KindThrottled:
		return generated.ErrorCodeThrottled, "too many requests"
	case mail.KindUnavailable:
		return generated.ErrorCodeUnavailable, "not available at the moment"
	case mail.KindUnauthorized:
		return generated.ErrorCodeUnauthenticated, "a valid key is needed"
	case mail.KindForbidden:
		return generated.ErrorCodeForbidden, "not allowed"
	case mail.KindGrantExpired:
		return generated.ErrorCodeGrantExpired, "the account must be connected again"
	case mail.KindMisconfigured:
		return generated.ErrorCodeMisconfigured, "the provider's settings are wrong"
	case mail.KindNotFound:
		return generated.ErrorCodeNotFound, "not found"
	case mail.KindInvalid:
		return generated.ErrorCodeBadInput, "the request is not as it should be"
	case mail.KindConflict:
		return generated.ErrorCodeConflict, "this does not fit the present state"
	case mail.KindCursorExpired:
		return generated.ErrorCodeCursorExpired, "the cursor is too old"
	case mail.KindTooLarge:
		return generated.ErrorCodeTooLarge, "too large"
	case mail.KindOverQuota:
		return generated.ErrorCodeOverQuota, "the mailbox is full"
	case mail.KindOutcomeUnknown:
		return generated.ErrorCodeOutcomeUnknown, "this may or may not have been done"
	default:
		return generated.ErrorCodeInternal, "an error of ours"
	}
}

// invalid is an error of the caller's input.
func invalid(format string, args ...any) error {
	return &mail.Error{Kind: mail.KindInvalid, Message: fmt.Sprintf(format, args...)}
}

// notFound is an error for an id that names nothing.
func notFound(noun, id string) error {
	return &mail.Error{Kind: mail.KindNotFound, Message: fmt.Sprintf("there is no %s %q", noun, id)}
}

// cursorExpired refuses a cursor of the journal and says where it begins.
type cursorExpired struct {
	words  string
	oldest event.Cursor
}

func (e *cursorExpired) Error() string { return e.words }

func (e *cursorExpired) Unwrap() error {
	return &mail.Error{Kind: mail.KindCursorExpired, Message: e.words}
}

// panicked is a recovered panic, logged already.
type panicked struct{ id string }

func (e *panicked) Error() string { return "panic " + e.id }

// fault is an error as it is told outside.
type fault struct {
	code       generated.ErrorCode
	message    string
	retryAfter time.Duration
	extensions map[string]any
}

// describe turns an error into what may be told of it. An error of ours is
// logged here, once, under the id that the caller gets.
func (s *Server) describe(ctx context.Context, err error) fault {
	var known *mail.Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, store.ErrNotFound):
		known = &mail.Error{Kind: mail.KindNotFound}
	case errors.Is(err, context.DeadlineExceeded):
		known = &mail.Error{Kind: mail.KindUnavailable, Message: "this took too long"}
	case errors.Is(err, context.Canceled):
		known = &mail.Error{Kind: mail.KindUnavailable, Message: "the request was cancelled"}
	case errors.Is(err, store.ErrClosed):
		known = &mail.Error{Kind: mail.KindUnavailable, Message: "the gateway is stopping"}
	default:
		known = &mail.Error{Kind: mail.KindInternal}
	}
	code, words := codeOf(known.Kind)
	if code == generated.ErrorCodeInternal {
		return fault{code: code, message: "an error of ours; the log tells more under this id", extensions: map[string]any{"id": s.logFault(ctx, err)}}
	}
	f := fault{code: code, message: words, retryAfter: known.RetryAfter, extensions: map[string]any{}}
	if known.Message != "" {
		f.message = known.Message
	}
	if known.Op != "" {
		f.message = known.Op + ": " + f.message
	}
	switch known.Code {
	case "":
	case service.CodeDiskFull: // our own, and no provider's
		f.extensions["reason"] = known.Code
	default:
		f.extensions["providerCode"] = known.Code
	}
	if f.retryAfter > 0 {
		f.extensions["retryAfter"] = retrySeconds(f.retryAfter)
	}
	var expired *cursorExpired
	if errors.As(err, &expired) {
		f.extensions["oldest"] = expired.oldest.String()
	}
	return f
}

// retrySeconds rounds up: coming back too early only costs another answer.
func retrySeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func (s *Server) logFault(ctx context.Context, err error) (id string) {
	var p *panicked
	if errors.As(err, &p) {
		return p.id
	}
	id = rand.Text()
	s.log.ErrorContext(ctx, "request failed", "fault", id, "error", err.Error(), "path", graphql.GetPath(ctx).String())
	return id
}

// recovered logs a panic of a resolver.
func (s *Server) recovered(ctx context.Context, p any) error {
	id := rand.Text()
	s.log.ErrorContext(ctx, "resolver panicked", slog.String("fault", id), slog.Any("panic", p),
		slog.String("path", graphql.GetPath(ctx).String()), slog.String("stack", string(debug.Stack())))
	return &panicked{id: id}
}

// present makes what stands in `errors` of an answer.
func (s *Server) present(ctx context.Context, err error) *gqlerror.Error {
	var g *gqlerror.Error
	if !errors.As(err, &g) {
		g = gqlerror.WrapPath(graphql.GetPath(ctx), err)
	}
	out := &gqlerror.Error{Path: g.Path, Locations: g.Locations}
	given, _ := g.Extensions["code"].(string)
	switch {
	case given == codePersistedQueryNotFound:
		out.Message, out.Extensions = g.Message, map[string]any{"code": given}
		return out
	case given != "" && generated.ErrorCode(given).IsValid():
		return g // presented before: the limits, or an error inside a stream
	case given == errcode.ParseFailed, given == errcode.ValidationFailed, g.Err == nil && len(g.Path) == 0:
		// The query itself: gqlgen's words are for its author.
		err = &mail.Error{Kind: mail.KindInvalid, Message: g.Message}
	case isInputError(g.Err):
		err = &mail.Error{Kind: mail.KindInvalid, Message: g.Err.Error()}
	case g.Err != nil:
		err = g.Err
	}
	f := s.describe(ctx, err)
	out.Message = f.message
	out.Extensions = f.extensions
	out.Extensions["code"] = string(f.code)
	return out
}

// isInputError tells gqlgen's own errors about numbers that do not fit.
func isInputError(err error) bool {
	var number *graphql.IntegerError
	return errors.As(err, &number)
}
