package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/store/bolt"
)

// serveBackup streams a backup to the command that asked for it. What goes
// wrong after the first byte can only be shown by cutting the answer: a backup
// without its end is refused by whoever reads it.
func (g *Gateway) serveBackup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-tar")
	m, err := g.store.Backup(r.Context(), w, r.URL.Query().Get("blobs") == "all")
	if err != nil {
		if r.Context().Err() == nil {
			g.log.ErrorContext(r.Context(), "backup failed", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	g.log.InfoContext(r.Context(), "backup made", "position", m.Position, "all_blobs", m.AllBlobs)
}

// Backup gives a backup of the running gateway's store, or, where none runs,
// of the store that open gives. The reader must be closed.
func Backup(ctx context.Context, cfg *config.Config, allBlobs bool, open func() (*bolt.Store, error)) (io.ReadCloser, error) {
	query := url.Values{}
	if allBlobs {
		query.Set("blobs", "all")
	}
	resp, err := ask(ctx, cfg, http.MethodGet, "/backup?"+query.Encode())
	if err == nil {
		return resp.Body, nil
	}
	if !errors.Is(err, ErrNotRunning) {
		return nil, err
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := s.Backup(ctx, pw, allBlobs)
		_ = pw.CloseWithError(err) // never fails
		done <- s.Close()
	}()
	return &ownBackup{pr, cancel, done}, nil
}

// ownBackup is a backup that this process makes.
type ownBackup struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan error
}

// Close ends the backup and gives the store back.
func (b *ownBackup) Close() error {
	b.cancel()
	_ = b.PipeReader.Close() // never fails
	if err := <-b.done; err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}
