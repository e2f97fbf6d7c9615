package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

var allKinds = []mail.Kind{
	mail.KindThrottled, mail.KindUnavailable, mail.KindUnauthorized, mail.KindForbidden, mail.KindGrantExpired,
	mail.KindMisconfigured, mail.KindNotFound, mail.KindInvalid, mail.KindConflict, mail.KindCursorExpired,
	mail.KindTooLarge, mail.KindOverQuota, mail.KindOutcomeUnknown, mail.KindInternal,
}

func TestErrorsCrossToHost(t *testing.T) {
	var answer error
	remote := pipeTo(t, &funcs{
		mailbox: func(context.Context, *MailboxesRequest) (*MailboxesResponse, error) { return nil, answer },
		changes: func(_ context.Context, _ *ChangesRequest, each func(*mail.Batch) error) error {
			if err := each(&mail.Batch{}); err != nil {
				return err
			}
			return answer
		},
		send: func(context.Context, *SendRequest) (*SendResponse, error) { return nil, answer },
		appended: func(context.Context, *AppendRequest, io.Reader) (*AppendResponse, error) {
			return nil, answer
		},
	})
	for _, kind := range allKinds {
		want := &mail.Error{Kind: kind, Op: "list", Code: "E1", Message: "no", RetryAfter: 90 * time.Second}
		// The cause stays, and a wrapped error is found.
		answer = fmt.Errorf("wrapped: %w", &mail.Error{Kind: kind, Op: "list", Code: "E1", Message: "no", RetryAfter: 90 * time.Second, Err: errors.New("token=secret")})
		ctx := t.Context()
		_, unary := remote.Mailboxes(ctx, &MailboxesRequest{})
		stream := remote.Changes(ctx, &ChangesRequest{}, func(*mail.Batch) error { return nil })
		_, send := remote.Send(ctx, &SendRequest{})
		_, up := remote.Append(ctx, &AppendRequest{}, strings.NewReader("x"))
		for verb, got := range map[string]error{"mailboxes": unary, "changes": stream, "send": send, "append": up} {
			if diff := cmp.Diff(error(want), got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", kind, verb, diff)
			}
		}
	}
	answer = ErrNotOpen
	if _, err := remote.Mailboxes(t.Context(), &MailboxesRequest{}); !NotOpen(err) {
		t.Errorf("ErrNotOpen arrived as %v", err)
	}
	answer = errors.New("index out of range")
	if _, err := remote.Mailboxes(t.Context(), &MailboxesRequest{}); mail.KindOf(err) != mail.KindInternal || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("a plain error arrived as %v", err)
	}
}

func TestErrorsCrossToPlugin(t *testing.T) {
	got := make(chan error)
	calls := make(chan func(Host) error)
	remote := pipeTo(t, &funcs{session: func(ctx context.Context, h Host) error {
		for {
			select {
			case f := <-calls:
				got <- f(h)
			case <-ctx.Done():
				return nil
			}
		}
	}})
	host := &fakeHost{}
	stop := runSession(t, remote, host)
	defer stop()
	ctx := t.Context()
	for _, kind := range allKinds {
		want := &mail.Error{Kind: kind, Op: "store grant", Code: "E2", Message: "no", RetryAfter: time.Second}
		host.set(func(string, any) error { return want })
		for _, f := range []func(Host) error{
			func(h Host) error { return h.SaveGrant(ctx, "a", []byte("g")) },
			func(h Host) error { return h.GrantRefused(ctx, "a", want) },
			func(h Host) error { return h.Hint(ctx, &Hint{Kind: HintChanged}) },
		} {
			calls <- f
			if diff := cmp.Diff(error(want), <-got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
		}
	}
}

// TestLostAnswers: what the host makes of a call that never came back.
func TestLostAnswers(t *testing.T) {
	tests := []struct {
		err        error
		idempotent mail.Kind
		other      mail.Kind
	}{
		{status.Error(codes.Unavailable, "eof"), mail.KindUnavailable, mail.KindOutcomeUnknown},
		{status.Error(codes.Internal, "rst_stream"), mail.KindUnavailable, mail.KindOutcomeUnknown},
		{status.Error(codes.Unknown, "?"), mail.KindUnavailable, mail.KindOutcomeUnknown},
		{status.Error(codes.DeadlineExceeded, "late"), mail.KindUnavailable, mail.KindOutcomeUnknown},
		{status.Error(codes.Canceled, "ended"), mail.KindUnavailable, mail.KindOutcomeUnknown},
		{status.Error(codes.Unimplemented, "no such rpc"), mail.KindInvalid, mail.KindInvalid},
		{status.Error(codes.ResourceExhausted, "larger than max"), mail.KindTooLarge, mail.KindTooLarge},
		{status.Error(codes.NotFound, "from another sdk"), mail.KindNotFound, mail.KindNotFound},
	}
	for _, tt := range tests {
		if got := mail.KindOf(fromStatus(t.Context(), VerbMailboxes, tt.err)); got != tt.idempotent {
			t.Errorf("%v on mailboxes: %s, want %s", tt.err, got, tt.idempotent)
		}
		if got := mail.KindOf(fromStatus(t.Context(), VerbSend, tt.err)); got != tt.other {
			t.Errorf("%v on send: %s, want %s", tt.err, got, tt.other)
		}
	}
}

func TestBrokenConnection(t *testing.T) {
	began := make(chan string, 2)
	hang := make(chan struct{})
	defer close(hang)
	p := &funcs{
		mailbox: func(ctx context.Context, _ *MailboxesRequest) (*MailboxesResponse, error) {
			began <- "mailboxes"
			<-hang
			return nil, ctx.Err()
		},
		send: func(ctx context.Context, _ *SendRequest) (*SendResponse, error) {
			began <- "send"
			<-hang
			return nil, ctx.Err()
		},
	}
	remote, conn, err := Pipe(p)
	if err != nil {
		t.Fatal(err)
	}
	listed, sent := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := remote.Mailboxes(context.Background(), &MailboxesRequest{})
		listed <- err
	}()
	go func() {
		_, err := remote.Send(context.Background(), &SendRequest{})
		sent <- err
	}()
	<-began
	<-began
	// The plugin's process dies: its side of the connection goes.
	conn.(*pipe).grpc.Stop()
	if err := <-listed; mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("mailboxes: %v", err)
	}
	if err := <-sent; mail.KindOf(err) != mail.KindOutcomeUnknown {
		t.Errorf("send: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestCancellationReachesPlugin(t *testing.T) {
	began := make(chan struct{})
	ended := make(chan error, 1)
	remote := pipeTo(t, &funcs{mailbox: func(ctx context.Context, _ *MailboxesRequest) (*MailboxesResponse, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	_, err := remote.Mailboxes(ctx, &MailboxesRequest{})
	if !errors.Is(err, context.Canceled) || mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("host: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("plugin: %v", err)
	}
}

func TestDeadlineReachesPlugin(t *testing.T) {
	remote := pipeTo(t, &funcs{mailbox: func(ctx context.Context, _ *MailboxesRequest) (*MailboxesResponse, error) {
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || left <= 0 || left > time.Hour {
			t.Errorf("deadline at the plugin: %v, %v", deadline, ok)
		}
		return &MailboxesResponse{}, nil
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := remote.Mailboxes(ctx, &MailboxesRequest{}); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := remote.Mailboxes(ctx, &MailboxesRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past deadline: %v", err)
	}
}
