// Package access decides who may do what: the administrator, who presents the
// API key that was made on the first start, and mail programs, which present an
// app password of one account.
//
// What is kept true. Of no key and no app password more is kept than a hash, so
// that none can be shown a second time. An app password opens one account and
// what its scopes name. From the commit that revokes it, or disconnects its
// account, on it opens nothing, and what it had opened is told to close.
//
// How it fails. What is wrong is refused in the same words whatever is wrong
// about it, more slowly each time, and past a limit nothing from there is looked
// at for a while. What is right but cannot be used now is never refused as
// wrong: a program would ask its user for a password that is none of the trouble.
//
// The key has 256 random bits, so its SHA-256 is as good as a slow hash: there
// is no dictionary to try. It is compared in constant time. Why app passwords
// are hashed as they are stands at Access.hash.
//
// Where to start: Login, and Revoked for whoever let somebody in.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// adminKey is the setting that holds the key's hash.
const adminKey = "access.admin_key"

// keyPrefix makes a key recognisable where it leaks.
const keyPrefix = "psk_"

// Options of an Access.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// Sleep waits before an answer, or until ctx ends.
	Sleep func(ctx context.Context, d time.Duration) error
	// Changed is called when an account's app passwords have changed.
	Changed func(account string)
	// Hideable are the capabilities that an app password may hide.
	Hideable []string
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
}

// Access checks credentials.
type Access struct {
	store    store.Store
	opts     Options
	guesses  *guesses
	sessions sessions
	uses     uses
	logins   *prometheus.CounterVec
	// keys counts renewals of the admin key.
	keys atomic.Int64

	keyMu   sync.Mutex
	hashKey []byte

	readMu sync.Mutex
	read   map[string]bool // see ReadBy
}

// New makes an Access.
func New(s store.Store, opts Options) *Access {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	a := &Access{store: s, opts: opts, guesses: newGuesses(opts.Now), sessions: sessions{m: map[*session]struct{}{}},
		uses: uses{clock: opts.Now, m: map[string]time.Time{}}, read: map[string]bool{},
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_logins_total", Help: "Logins of mail programs, by outcome."}, []string{"outcome"})}
	for _, outcome := range []string{"ok", "wrong", "locked", string(mail.KindGrantExpired)} {
		a.logins.WithLabelValues(outcome) // 0, and not absent
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(a.logins)
	}
	return a
}

func (a *Access) count(outcome string) { a.logins.WithLabelValues(outcome).Inc() }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Admin is the one principal there is.
const Admin = "admin"

// EnsureAdminKey makes the admin key where there is none and writes it to a
// file that its owner alone can read. The key itself is never logged.
func (a *Access) EnsureAdminKey(ctx context.Context, file string) (created bool, err error) {
	err = a.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Setting(adminKey)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	return true, a.RenewAdminKey(ctx, file)
}

// RenewAdminKey makes a new admin key in a file that its owner alone can read.
// The former one is refused from the commit on. Where it fails before, nothing
// has changed; after a crash between commit and rename it is called again.
func (a *Access) RenewAdminKey(ctx context.Context, file string) error {
	raw := make([]byte, 32)
	rand.Read(raw)
	key := keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(key))
	// Written first: a key that nobody can read would lock everybody out.
	err := writeSecret(file, key+"\n", func() error {
		return a.store.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(adminKey, sum[:]) })
	})
	if err != nil {
		return fmt.Errorf("write admin key: %w", err)
	}
	a.keys.Add(1)
	a.sessions.end(func(s *session) bool { return s.password == "" })
	return nil
}

// writeSecret replaces a file in one step, with mode 0600 from its first byte,
// once commit has said that it counts.
func writeSecret(name, content string, commit func() error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := commit(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Authenticate gives the principal that presents a key. A wrong or missing
// key is mail.KindUnauthorized.
func (a *Access) Authenticate(ctx context.Context, key string) (string, error) {
	key = strings.TrimSpace(key)
	if scheme, rest, ok := strings.Cut(key, " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(rest)
	}
	var want []byte
	err := a.store.View(ctx, func(tx store.Tx) (err error) {
		want, err = tx.Setting(adminKey)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	sum := sha256.Sum256([]byte(key))
	if key == "" || len(want) == 0 || subtle.ConstantTimeCompare(sum[:], want) != 1 {
		return "", &mail.Error{Kind: mail.KindUnauthorized, Op: "authenticate", Message: "the API key is missing or wrong"}
	}
	return Admin, nil
}
