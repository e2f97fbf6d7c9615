package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// ErrNoHook answers for what a world cannot do. The cases that need it are
// skipped and listed.
var ErrNoHook = errors.New("the world has no such hook")

// NoHook is ErrNoHook with the hook's name.
func NoHook(name string) error { return fmt.Errorf("%w: %s", ErrNoHook, name) }

// Message is one message as the world truly holds it.
type Message struct {
	// ProviderID and Mailboxes are ids as the provider names them.
	ProviderID string   `json:"id"`
	Mailboxes  []string `json:"mailboxes"`
	Keywords   []string `json:"keywords"`
	// Size and SHA256 (lower-case hex) are of the raw bytes as they are served.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Fault is a trouble that a world can make.
type Fault string

// Faults.
const (
	// FaultThrottled: every request of the account is refused for its quota.
	FaultThrottled Fault = "throttled"
	// FaultUnavailable: every request of the account fails in passing.
	FaultUnavailable Fault = "unavailable"
	// FaultLostAnswer: sending is carried out, but its answer is lost.
	FaultLostAnswer Fault = "lost_answer"
)

// World is everything around the provider: what the operator configured, and
// what the outside can do to an account. Embed NoHooks and write the methods
// that your world has; Settings, Address and Connect are the least.
type World interface {
	// Settings are those with which the provider works in this world.
	Settings() map[string]string
	// BadSettings are sets of settings that cannot work.
	BadSettings() []map[string]string
	// RedirectURL is the one registered for this client.
	RedirectURL() string
	// Address is the account that the cases work on. Its mail is added to,
	// changed and removed; what is there before stays as it is.
	Address() string
	// Recipients are other accounts of this world, whose Truth can be asked.
	Recipients() []string

	// Connect plays the owner who opens the URL and approves; it gives the
	// parameters with which the browser comes back.
	Connect(ctx context.Context, authorizeURL string) (callback url.Values, err error)
	// Deny plays the owner who refuses.
	Deny(ctx context.Context, authorizeURL string) (callback url.Values, err error)

	// RequireApproval makes Connect end with the refusal that an owner meets who
	// may not consent, until Approve has allowed the application or the function
	// that it gives is called.
	RequireApproval(ctx context.Context) (end func(context.Context) error, err error)
	// Approve plays the administrator who opens the link and allows the
	// application, or refuses to; it gives the parameters that the browser comes
	// back with.
	Approve(ctx context.Context, link string, allow bool) (callback url.Values, err error)

	// Deliver lets a message arrive; mailbox is the provider's id, empty for
	// the inbox.
	Deliver(ctx context.Context, address, mailbox string, raw []byte) error
	// SetKeywords, Move and Remove change a message behind the provider's back.
	SetKeywords(ctx context.Context, address, id string, keywords []string) error
	Move(ctx context.Context, address, id, mailbox string) error
	Remove(ctx context.Context, address, id string) error
	// Truth lists every message of an account.
	Truth(ctx context.Context, address string) ([]Message, error)

	// ForgetCursors makes all change cursors given so far too old.
	ForgetCursors(ctx context.Context, address string) error
	// ExpireTokens ends the access tokens, not the grants.
	ExpireTokens(ctx context.Context, address string) error
	// Revoke ends tokens and grants, as an owner does who withdraws the consent.
	Revoke(ctx context.Context, address string) error
	// TokenRequests counts the refreshes of access tokens so far.
	TokenRequests(ctx context.Context) (int, error)
	// Fault makes a trouble until the function that it gives is called.
	Fault(ctx context.Context, address string, fault Fault) (end func(context.Context) error, err error)
	// Listen opens the notification URL: what hits it goes to the handler,
	// until ctx ends. It is called once, before Configure.
	Listen(ctx context.Context, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (notificationURL string, err error)
}

// NoHooks answers ErrNoHook for everything that is optional.
type NoHooks struct{}

// BadSettings are not known.
func (NoHooks) BadSettings() []map[string]string { return nil }

// RedirectURL is one that needs no registering.
func (NoHooks) RedirectURL() string { return "http://localhost:8080/oauth/providertest/callback" }

// Recipients are not known.
func (NoHooks) Recipients() []string { return nil }

// Connect is not possible.
func (NoHooks) Connect(context.Context, string) (url.Values, error) { return nil, NoHook("connect") }

// Deny is not possible.
func (NoHooks) Deny(context.Context, string) (url.Values, error) { return nil, NoHook("deny") }

// RequireApproval is not possible.
func (NoHooks) RequireApproval(context.Context) (func(context.Context) error, error) {
	return nil, NoHook("approval")
}

// Approve is not possible.
func (NoHooks) Approve(context.Context, string, bool) (url.Values, error) {
	return nil, NoHook("approval")
}

// Deliver is not possible.
func (NoHooks) Deliver(context.Context, string, string, []byte) error { return NoHook("deliver") }

// SetKeywords is not possible.
func (NoHooks) SetKeywords(context.Context, string, string, []string) error {
	return NoHook("set_keywords")
}

// Move is not possible.
func (NoHooks) Move(context.Context, string, string, string) error { return NoHook("move") }

// Remove is not possible.
func (NoHooks) Remove(context.Context, string, string) error { return NoHook("remove") }

// Truth is not known.
func (NoHooks) Truth(context.Context, string) ([]Message, error) { return nil, NoHook("truth") }

// ForgetCursors is not possible.
func (NoHooks) ForgetCursors(context.Context, string) error { return NoHook("forget_cursors") }

// ExpireTokens is not possible.
func (NoHooks) ExpireTokens(context.Context, string) error { return NoHook("expire_tokens") }

// Revoke is not possible.
func (NoHooks) Revoke(context.Context, string) error { return NoHook("revoke") }

// TokenRequests are not known.
func (NoHooks) TokenRequests(context.Context) (int, error) { return 0, NoHook("token_requests") }

// Fault is not possible.
func (NoHooks) Fault(_ context.Context, _ string, f Fault) (func(context.Context) error, error) {
	return nil, NoHook("faults." + string(f))
}

// Listen is not possible.
func (NoHooks) Listen(context.Context, func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	return "", NoHook("notifications")
}

// DefaultPatience is how long the suite waits for what should happen soon.
const DefaultPatience = 20 * time.Second
