package graph

import (
	"context"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

type userKey struct{}

type principal struct {
	user   cloud.User
	scopes map[string]bool // lower case, without the resource
}

// WithUser says for whom a request is made and what its token allows. A scope
// may be bare (Mail.Read) or carry its resource.
func WithUser(ctx context.Context, u cloud.User, scopes []string) context.Context {
	p := principal{user: u, scopes: map[string]bool{}}
	for _, s := range scopes {
		p.scopes[strings.ToLower(s[strings.LastIndexByte(s, '/')+1:])] = true
	}
	return context.WithValue(ctx, userKey{}, p)
}

// UserFrom is the user that WithUser set.
func UserFrom(ctx context.Context) (cloud.User, bool) {
	p, ok := ctx.Value(userKey{}).(principal)
	return p.user, ok
}

// allows says whether one of the scopes was granted.
func (p principal) allows(scopes ...string) bool {
	for _, s := range scopes {
		if p.scopes[s] {
			return true
		}
	}
	return false
}

// What an operation needs, least first.
var (
	scopesReadBasic = []string{"mail.readbasic", "mail.read", "mail.readwrite"}
	scopesRead      = []string{"mail.read", "mail.readwrite"}
	scopesWrite     = []string{"mail.readwrite"}
	scopesSend      = []string{"mail.send"}
	scopesSettings  = []string{"mailboxsettings.read", "mailboxsettings.readwrite"}
	scopesSetWrite  = []string{"mailboxsettings.readwrite"}
	scopesProfile   = []string{"user.read", "user.readwrite", "user.readbasic.all", "user.read.all"}
)
