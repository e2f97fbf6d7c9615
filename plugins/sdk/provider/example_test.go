package provider_test

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// A provider embeds Unsupported and implements the verbs that it has; these
// are those that nobody can do without. Its main is one call:
//
//	func main() { provider.Serve(attic{}) }
type attic struct{ provider.Unsupported }

func (attic) Describe(context.Context) (*provider.Info, error) {
	return &provider.Info{Name: "attic", Title: "Attic", Version: "1", SignIn: provider.SignInNone, Scope: mail.ScopeAccount}, nil
}

func (attic) Configure(context.Context, *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	return &provider.ConfigureResponse{}, nil
}

func (attic) Open(context.Context, *provider.OpenRequest) error   { return nil }
func (attic) Close(context.Context, *provider.CloseRequest) error { return nil }

func (attic) Mailboxes(_ context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	if req.Account != "grandma" {
		return nil, provider.ErrNotOpen
	}
	return &provider.MailboxesResponse{Mailboxes: []mail.Mailbox{
		{ID: "1", Name: "Letters", Role: mail.RoleInbox, Kind: mail.KindFolder, Total: 12, Unread: -1},
	}}, nil
}

func (attic) Enumerate(context.Context, *provider.EnumerateRequest, func(*provider.EnumerateBatch) error) error {
	return nil
}

func (attic) Changes(_ context.Context, _ *provider.ChangesRequest, each func(*mail.Batch) error) error {
	return each(&mail.Batch{Done: true, Next: mail.Cursor("0")})
}

func (attic) Fetch(_ context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	for _, id := range req.IDs {
		if err := sink.Failed(id, &mail.Error{Kind: mail.KindNotFound}); err != nil {
			return err
		}
	}
	return nil
}

// Pipe shows a provider as the gateway will see it, without a process.
func ExamplePipe() {
	ctx := context.Background()
	remote, closer, err := provider.Pipe(attic{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closer.Close()
	resp, err := remote.Mailboxes(ctx, &provider.MailboxesRequest{Call: provider.Call{Account: "grandma"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Mailboxes[0].Name, resp.Mailboxes[0].Total)
	_, err = remote.Mailboxes(ctx, &provider.MailboxesRequest{Call: provider.Call{Account: "uncle"}})
	fmt.Println(mail.KindOf(err), provider.NotOpen(err))
	_, err = remote.Send(ctx, &provider.SendRequest{})
	fmt.Println(err)
	// Output:
	// Letters 12
	// unavailable true
	// send: the provider cannot do this (unsupported)
}
