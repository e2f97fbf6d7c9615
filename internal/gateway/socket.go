package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// SocketFile is where commands reach the running gateway of a data folder.
func SocketFile(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "postern.sock") }

// listenSocket opens the command socket. One that is left of a process that
// was killed is removed: the store's lock says that nobody else is here.
func (g *Gateway) listenSocket() (net.Listener, error) {
	name := SocketFile(g.cfg)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("command socket: %w", err)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("command socket: %w", err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("command socket: %w", err), l.Close())
	}
	return l, nil
}

// commands is what the socket answers: the same functions that a command uses
// by itself when no gateway runs.
func (g *Gateway) commands() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, fn func(ctx context.Context) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := fn(r.Context())
			respond(w, v, err)
		})
	}
	answer("GET /accounts", func(ctx context.Context) (any, error) { return g.accountList(ctx) })
	answer("GET /plugins", func(context.Context) (any, error) { return g.pluginList(), nil })
	mux.HandleFunc("POST /keys/rotate", func(w http.ResponseWriter, r *http.Request) {
		// Only the gateway's own first key can be rotated to: the caller's
		// settings may be newer than those that it was started with.
		if want := r.URL.Query().Get("key"); want != g.firstKey {
			respond(w, nil, fmt.Errorf("the running gateway seals under master key %s, the settings name %s first; restart it with these settings, then rotate", g.firstKey, want))
			return
		}
		rotated, err := RotateKeys(r.Context(), g.store)
		respond(w, rotated, err)
	})
	mux.HandleFunc("POST /keys/admin", func(w http.ResponseWriter, r *http.Request) {
		k, err := g.serveAdminKey(r)
		respond(w, k, err)
	})
	mux.HandleFunc("GET /prove", func(w http.ResponseWriter, r *http.Request) {
		respond(w, proved{g.prover.prove(r.URL.Query().Get("nonce"))}, nil)
	})
	g.serveDeliveries(mux)
	g.serveAppPasswords(mux)
	mux.HandleFunc("GET /backup", g.serveBackup)
	mux.HandleFunc("GET /export/{what}", g.serveExport)
	answer("GET /verify", func(ctx context.Context) (any, error) { return g.store.Verify(ctx, false) })
	return mux
}

// respond answers a command with a value or an error.
func respond(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status, v = http.StatusInternalServerError, map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// AccountRow is one account as `postern accounts list` shows it.
type AccountRow struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Address  string `json:"address"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	// Ends says when the consent will end, where that is known.
	Ends     string    `json:"ends,omitempty"`
	Messages int64     `json:"messages"`
	SyncedAt time.Time `json:"synced_at,omitzero"`
}

// ListAccounts lists all accounts.
func ListAccounts(ctx context.Context, s store.Store) ([]AccountRow, error) {
	rows := []AccountRow{}
	after := ""
	for {
		n := 0
		err := s.View(ctx, func(tx store.Tx) error {
			list, err := tx.AccountsAfter(after, 500)
			if err != nil {
				return err
			}
			faults, err := account.Misconfigurations(tx)
			if err != nil {
				return err
			}
			for _, a := range list {
				count, err := tx.CountMessages(a.ID)
				if err != nil {
					return err
				}
				reason := a.StateReason
				if reason == "" {
					reason = ofProvider(a.Provider, faults[a.Provider])
				}
				rows = append(rows, AccountRow{ID: a.ID, Provider: a.Provider, Address: a.Address,
					State: strings.ToUpper(string(a.State)), Reason: reason, Ends: a.Ending(), Messages: count, SyncedAt: a.LastSyncAt})
				after = a.ID
			}
			n = len(list)
			return nil
		})
		if err != nil || n == 0 {
			return rows, err
		}
	}
}

// PluginRow is one provider instance as `postern plugins list` shows it.
type PluginRow struct {
	Instance string             `json:"instance"`
	Plugin   string             `json:"plugin"`
	Path     string             `json:"path"`
	Version  string             `json:"version"`
	State    string             `json:"state"`
	Reason   string             `json:"reason,omitempty"`
	Restarts int                `json:"restarts"`
	PID      int                `json:"pid,omitempty"`
	Settings []provider.Setting `json:"settings,omitempty"`
}

func (g *Gateway) pluginList() []PluginRow {
	rows := []PluginRow{}
	for _, s := range g.plugins.Status() {
		row := PluginRow{Instance: s.Name, Plugin: s.Plugin, Path: s.Path, Version: s.Version,
			State: string(s.State), Restarts: s.Restarts, PID: s.Pid}
		if s.LastError != nil && s.State != pluginhost.StateRunning {
			row.Reason = describe(s.LastError)
		}
		if why := g.misconfigured(s); why != "" { // its process may run nevertheless
			row.State, row.Reason = string(pluginhost.StateMisconfigured), why
		}
		if info, err := g.plugins.Info(s.Name); err == nil {
			row.Settings = info.Settings
		}
		rows = append(rows, row)
	}
	return rows
}

// Rotated tells of a key rotation.
type Rotated struct {
	Keys int `json:"keys"`
}

// RotateKeys wraps every data key under the first master key.
func RotateKeys(ctx context.Context, s *bolt.Store) (Rotated, error) {
	var r Rotated
	err := s.Rewrap(ctx, func(done int) { r.Keys = done })
	return r, err
}

// Call asks the running gateway of a data folder. ErrNotRunning where none
// answers.
func Call(ctx context.Context, cfg *config.Config, method, path string, out any) error {
	resp, err := ask(ctx, cfg, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(out)
}

// ask is Call before the answer is read. An error is read here.
func ask(ctx context.Context, cfg *config.Config, method, path string) (*http.Response, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", SocketFile(cfg))
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://postern"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		return nil, fmt.Errorf("the gateway answered %s", resp.Status)
	}
	return nil, errors.New(e.Error)
}

// ErrNotRunning: no gateway runs on this data folder.
var ErrNotRunning = errors.New("no gateway runs on this data folder")

// readKey reads a key file, empty where it cannot be read.
func readKey(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
