package gateway

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/store"
)

// NewKeyHint is how an admin key is made where its file is gone.
const NewKeyHint = "`postern keys admin` makes a new key, and the former one stops working"

// AdminKey tells where a new admin key is.
type AdminKey struct {
	File string `json:"file"`
}

// RenewAdminKey makes a new admin key in the data folder's file. The former one
// is refused from now on.
func RenewAdminKey(ctx context.Context, cfg *config.Config, s store.Store) (AdminKey, error) {
	k := AdminKey{File: AdminKeyFile(cfg)}
	return k, access.New(s, access.Options{}).RenewAdminKey(ctx, k.File)
}

func (g *Gateway) serveAdminKey(r *http.Request) (any, error) {
	k := AdminKey{File: AdminKeyFile(g.cfg)}
	err := g.access.RenewAdminKey(r.Context(), k.File)
	if err == nil {
		g.log.InfoContext(r.Context(), "admin key renewed", "file", k.File)
	}
	return k, err
}

// ensureAdminKey makes the first admin key. Where there is one and its file is
// not (it is in no backup), it says what to do.
func (g *Gateway) ensureAdminKey(ctx context.Context) error {
	file := AdminKeyFile(g.cfg)
	created, err := g.access.EnsureAdminKey(ctx, file)
	if err != nil {
		return err
	}
	if created {
		g.log.InfoContext(ctx, "admin key created", "file", file)
		return nil
	}
	if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
		g.log.WarnContext(ctx, "the admin key is not in the data folder: put its file back, or make another one", "file", file, "hint", NewKeyHint)
	}
	return nil
}
