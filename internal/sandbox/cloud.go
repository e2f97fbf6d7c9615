package sandbox

import (
	"context"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A Cloud is one provider's world: its users and their mailboxes. The small
// internet and the control API know clouds as this and nothing else.
type Cloud interface {
	Name() string
	AddUser(address, name string) (cloud.User, error)
	Users() []cloud.User
	UserByAddress(address string) (cloud.User, bool)
	Deliver(ctx context.Context, address string, d cloud.Delivery) (id string, err error)
	Messages(address string) ([]cloud.MessageInfo, error)
	Edit(address, id string, e cloud.Edit) error
	Delete(address, id string) error
	Revoke(address string, keepAccess bool) error
	Block(address string, code int) error
	ExpireTokens(address string) error
	ForgetCursors(address string) error
	Lifecycle(address, event string) (told int, err error)
	SetDeltaLag(d time.Duration)
	Save(dir string) error
	Load(dir string) error
}
