package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/store"
)

// orphansFresh is how long the count of accounts without a provider is good:
// it reads every account.
const orphansFresh = time.Minute

// orphans counts accounts by a provider that the settings do not have.
type orphans struct {
	mu      sync.Mutex
	counted time.Time
	counts  map[string]int
}

// stale makes the next look count anew.
func (o *orphans) stale() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counted = time.Time{}
}

func (o *orphans) look(ctx context.Context, s store.Store, configured map[string]bool, now time.Time) (map[string]int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := now.Sub(o.counted); age >= 0 && age < orphansFresh {
		return o.counts, nil
	}
	counts := map[string]int{}
	for after, more := "", true; more; {
		err := s.View(ctx, func(tx store.Tx) error {
			list, err := tx.AccountsAfter(after, 500)
			for _, a := range list {
				after = a.ID
				if !configured[a.Provider] {
					counts[a.Provider]++
				}
			}
			more = len(list) > 0
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	o.counted, o.counts = now, counts
	return counts, nil
}

// warnings says what is wrong while the gateway works all the same: it reads
// what it has and delivers, so that a restart or another machine would help
// nobody, but somebody must look.
func (g *Gateway) warnings(ctx context.Context) []string {
	var out []string
	configured := map[string]bool{}
	for _, p := range g.plugins.Status() {
		configured[p.Name] = true
		if why := g.accounts.Misconfigured(p.Name); why != "" {
			out = append(out, fmt.Sprintf("provider %s is misconfigured: %s", p.Name, why))
		}
		if len(p.StandIns) > 0 {
			out = append(out, fmt.Sprintf("provider %s: %s", p.Name, pluginhost.StandInWarning(p.StandIns)))
		}
	}
	for _, setting := range slices.Sorted(maps.Keys(g.certs.files)) {
		if why := g.certs.files[setting].Trouble(); why != "" {
			out = append(out, fmt.Sprintf("the certificate of %s: %s", setting, why))
		}
	}
	counts, err := g.orphans.look(ctx, g.store, configured, time.Now())
	if err != nil {
		return append(out, "accounts could not be looked through: "+err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("the settings have no provider %q any more, and it has %d accounts", name, counts[name]))
	}
	return out
}

// misconfigured says why an instance cannot work until its settings are
// corrected, nothing where it can.
func (g *Gateway) misconfigured(p pluginhost.InstanceStatus) string {
	if why := g.accounts.Misconfigured(p.Name); why != "" {
		return why
	}
	if p.State == pluginhost.StateMisconfigured && p.LastError != nil {
		return describe(p.LastError)
	}
	return ""
}

// accountList is ListAccounts, with what is wrong with running plugins.
func (g *Gateway) accountList(ctx context.Context) ([]AccountRow, error) {
	rows, err := ListAccounts(ctx, g.store)
	why := map[string]string{}
	for _, p := range g.plugins.Status() {
		why[p.Name] = g.misconfigured(p)
	}
	for n := range rows {
		if r := &rows[n]; r.Reason == "" {
			r.Reason = ofProvider(r.Provider, why[r.Provider])
		}
	}
	return rows, err
}

// ofProvider says of an account that it is its provider that is misconfigured.
func ofProvider(name, why string) string {
	if why == "" {
		return ""
	}
	return fmt.Sprintf("provider %s is misconfigured: %s", name, why)
}
