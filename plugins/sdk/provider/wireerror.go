package provider

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// NotOpen reports whether an error is ErrNotOpen, also one that crossed the
// wire.
func NotOpen(err error) bool {
	var e *mail.Error
	return errors.As(err, &e) && e.Code == CodeNotOpen
}

// valid makes a string fit for the wire: protobuf refuses a whole message for
// one string that is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// errorToPB gives the part of an error that crosses. The cause of a mail.Error
// stays behind, since it may quote what nobody checked for secrets.
func errorToPB(err error) *pb.ErrorDetail {
	if err == nil {
		return nil
	}
	var e *mail.Error
	if !errors.As(err, &e) {
		return &pb.ErrorDetail{Kind: string(mail.KindInternal), Message: valid(err.Error())}
	}
	d := &pb.ErrorDetail{Kind: string(e.Kind), Op: valid(e.Op), Code: valid(e.Code), Message: valid(e.Message), Link: valid(e.Link)}
	if d.Kind == "" {
		d.Kind = string(mail.KindInternal)
	}
	if e.RetryAfter > 0 {
		d.RetryAfter = durationpb.New(e.RetryAfter)
	}
	return d
}

// errorFromPB gives back what errorToPB made. The result is nil, not a typed
// nil, for nil.
func errorFromPB(d *pb.ErrorDetail) error {
	if d == nil {
		return nil
	}
	e := &mail.Error{Kind: mail.Kind(d.GetKind()), Op: d.GetOp(), Code: d.GetCode(), Message: d.GetMessage(), Link: d.GetLink()}
	if e.Kind == "" {
		e.Kind = mail.KindInternal
	}
	if d.GetRetryAfter() != nil {
		e.RetryAfter = d.GetRetryAfter().AsDuration()
	}
	return e
}

// grpcCode gives each kind the status code that tools show; only the detail
// counts between us.
func grpcCode(k mail.Kind) codes.Code {
	switch k {
	case mail.KindThrottled, mail.KindOverQuota, mail.KindTooLarge:
		return codes.ResourceExhausted
	case mail.KindUnavailable:
		return codes.Unavailable
	case mail.KindUnauthorized, mail.KindGrantExpired:
		return codes.Unauthenticated
	case mail.KindForbidden:
		return codes.PermissionDenied
	case mail.KindMisconfigured:
		return codes.FailedPrecondition
	case mail.KindNotFound:
		return codes.NotFound
	case mail.KindInvalid:
		return codes.InvalidArgument
	case mail.KindConflict:
		return codes.Aborted
	case mail.KindCursorExpired:
		return codes.OutOfRange
	case mail.KindOutcomeUnknown:
		return codes.Unknown
	}
	return codes.Internal
}

// kindOfCode reads a status that came without detail from a plugin that does
// not use the SDK. ok is false where the code may come from the connection.
func kindOfCode(c codes.Code) (kind mail.Kind, ok bool) {
	switch c {
	case codes.InvalidArgument, codes.Unimplemented:
		return mail.KindInvalid, true
	case codes.NotFound:
		return mail.KindNotFound, true
	case codes.PermissionDenied:
		return mail.KindForbidden, true
	case codes.FailedPrecondition:
		return mail.KindMisconfigured, true
	case codes.AlreadyExists, codes.Aborted:
		return mail.KindConflict, true
	case codes.OutOfRange:
		return mail.KindCursorExpired, true
	case codes.ResourceExhausted: // gRPC's own, for a message past the limit
		return mail.KindTooLarge, true
	}
	return "", false
}

// toStatus turns a provider's error into what crosses.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	var e *mail.Error
	if !errors.As(err, &e) {
		switch {
		case errors.Is(err, context.Canceled):
			return status.Error(codes.Canceled, "canceled")
		case errors.Is(err, context.DeadlineExceeded):
			return status.Error(codes.DeadlineExceeded, "deadline exceeded")
		}
	}
	d := errorToPB(err)
	st, detailErr := status.New(grpcCode(mail.Kind(d.GetKind())), d.GetMessage()).WithDetails(d)
	if detailErr != nil {
		return status.Error(codes.Internal, d.GetMessage())
	}
	return st.Err()
}

// fromStatus turns the error of a call back into a mail.Error.
func fromStatus(ctx context.Context, verb Verb, err error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	for _, d := range st.Details() {
		if detail, ok := d.(*pb.ErrorDetail); ok {
			return errorFromPB(detail)
		}
	}
	op := verb.Words()
	// The caller gave up: errors.Is finds the reason.
	if cause := ctx.Err(); cause != nil {
		return &mail.Error{Kind: verb.lost(), Op: op, Message: cause.Error(), Err: cause}
	}
	switch st.Code() {
	case codes.DeadlineExceeded: // the plugin's clock ran out before ours
		return &mail.Error{Kind: verb.lost(), Op: op, Message: "deadline exceeded", Err: context.DeadlineExceeded}
	case codes.Canceled:
		return &mail.Error{Kind: verb.lost(), Op: op, Message: "the plugin ended the call", Err: err}
	}
	if kind, ok := kindOfCode(st.Code()); ok {
		e := &mail.Error{Kind: kind, Op: op, Message: st.Message(), Err: err}
		if st.Code() == codes.Unimplemented {
			e.Code = codeUnsupported
		}
		return e
	}
	return &mail.Error{Kind: verb.lost(), Op: op, Message: "the connection to the plugin broke", Err: err}
}
