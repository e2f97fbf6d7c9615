package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// A provider that refuses the application itself (a secret that is wrong or has
// expired, a registration that is gone) is the operator's trouble, and one for
// all of its accounts. It begins with the first refusal that anything meets and
// is told then, once; which refusals follow says nothing new. It ends when
// there is proof that it has: something that was refused works again. That
// others still work proves nothing, for access tokens outlive the secret that
// they were got with.

// faultsSetting holds the faults in force in the store, so that a restart in
// the midst of one does not tell it again.
const faultsSetting = "providers.misconfigured"

// Ends of a fault that nothing has proved.
const (
	notConfigured = "the provider is not configured any more"
	configuredNew = "the provider was configured anew, and nobody has tried it yet"
)

// fault is why a provider instance cannot work.
type fault struct {
	reason string
	// met are the accounts that were refused because of it.
	met map[string]bool
	// anything proves that it is over: since the plugin holds nothing that is
	// older than the fault's last refusal.
	anything bool
}

// faults are those in force, by instance.
type faults struct {
	// changing is held while one begins or ends, from the decision until the
	// store has it.
	changing sync.Mutex
	count    atomic.Int32
	mu       sync.Mutex
	m        map[string]*fault
	gauge    *prometheus.GaugeVec
}

func newFaults() *faults {
	return &faults{m: map[string]*fault{}, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "postern_provider_misconfigured", Help: "1 while a provider instance refuses the application: its settings must be corrected."}, []string{"provider"})}
}

// meet notes that an account (none where one was to be connected) was refused,
// and reports whether the fault is new.
func (f *faults) meet(instance, account, reason string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	had, known := f.m[instance]
	if !known {
		had = &fault{met: map[string]bool{}}
		f.m[instance] = had
		f.count.Store(int32(len(f.m)))
		f.gauge.WithLabelValues(instance).Set(1)
	}
	had.reason = reason
	if account != "" {
		had.met[account] = true
	}
	return !known
}

func (f *faults) end(instance string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, instance)
	f.count.Store(int32(len(f.m)))
	f.gauge.WithLabelValues(instance).Set(0)
}

// over reports whether what worked proves that the instance's fault is over.
// renewed: the provider gave new tokens just now.
func (f *faults) over(instance, account string, renewed bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	had := f.m[instance]
	return had != nil && (had.met[account] || had.anything || renewed && len(had.met) == 0)
}

// renewed notes that whatever works from now on proves that a fault is over.
func (f *faults) renewed(instance string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if had := f.m[instance]; had != nil {
		had.anything = true
	}
}

// leave forgets an account that will not be asked for any more: if nobody else
// was refused, anybody's success will do.
func (f *faults) leave(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, had := range f.m {
		if had.met[account] {
			delete(had.met, account)
			had.anything = had.anything || len(had.met) == 0
		}
	}
}

// Misconfigured gives why a provider instance cannot work, empty while it can.
func (s *Service) Misconfigured(instance string) string {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if had := s.faults.m[instance]; had != nil {
		return had.reason
	}
	return ""
}

// Restore reads which faults were in force when the gateway ended. It is called
// before anything runs.
func (s *Service) Restore(ctx context.Context) error {
	var stored map[string]string
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		stored, err = storedFaults(tx)
		return err
	})
	if err != nil {
		return err
	}
	for instance, reason := range stored {
		s.faults.meet(instance, "", reason)
		s.faults.renewed(instance) // no plugin holds any token yet
		if _, err := s.providers.Info(instance); mail.KindOf(err) == mail.KindNotFound {
			s.endFault(ctx, instance, notConfigured)
		}
	}
	return nil
}

func storedFaults(tx store.Tx) (map[string]string, error) {
	raw, err := tx.Setting(faultsSetting)
	stored := map[string]string{}
	if errors.Is(err, store.ErrNotFound) {
		return stored, nil
	}
	if err == nil && json.Unmarshal(raw, &stored) != nil {
		err = errors.New("the list of misconfigured providers is damaged")
	}
	return stored, err
}

func putFaults(tx store.Tx, stored map[string]string) error {
	raw, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("list of misconfigured providers: %w", err)
	}
	return tx.PutSetting(faultsSetting, raw)
}

// misconfigured takes a refusal of the application. A new fault is written and
// told in one transaction.
func (s *Service) misconfigured(ctx context.Context, instance, account string, reason error) error {
	s.faults.changing.Lock()
	defer s.faults.changing.Unlock()
	why := publicReason(reason)
	if !s.faults.meet(instance, account, why) {
		return nil
	}
	s.log.ErrorContext(ctx, "provider misconfigured", "provider", instance, "error", reason)
	err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		stored, err := storedFaults(tx)
		if err != nil || stored[instance] != "" {
			return err
		}
		stored[instance] = why
		if err := putFaults(tx, stored); err != nil {
			return err
		}
		_, err = b.Add(&event.Event{Type: event.ProviderMisconfigured, Provider: instance, Reason: why})
		return err
	})
	if err != nil {
		s.faults.end(instance) // the next refusal tells it
	}
	return err
}

// works takes that a provider did something for an account (none where one was
// connected), and ends the fault of which that is proof.
func (s *Service) works(ctx context.Context, instance, account string, renewed bool) {
	if s.faults.count.Load() == 0 || !s.faults.over(instance, account, renewed) {
		return
	}
	s.endFault(ctx, instance, "")
}

// endFault ends a fault and tells so, in one transaction: whoever was told of
// the fault hears of its end. unproven says why it is over where nothing has
// proved that the provider takes the application again.
func (s *Service) endFault(ctx context.Context, instance, unproven string) {
	s.faults.changing.Lock()
	defer s.faults.changing.Unlock()
	err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		stored, err := storedFaults(tx)
		if err != nil || stored[instance] == "" {
			return err
		}
		delete(stored, instance)
		if err := putFaults(tx, stored); err != nil {
			return err
		}
		_, err = b.Add(&event.Event{Type: event.ProviderRecovered, Provider: instance, Reason: unproven})
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			s.log.ErrorContext(ctx, "end of a misconfiguration not noted", "provider", instance, "error", err)
		}
		return // the next success ends it
	}
	s.faults.end(instance)
	s.log.InfoContext(ctx, "provider works again", "provider", instance)
}

// GrantWorks takes that an account was synced.
func (s *Service) GrantWorks(ctx context.Context, instance, account string) {
	s.works(ctx, instance, account, false)
	s.senders.due(account, s.now())
}

// refusedApplication notes what connecting met, where it is the operator's
// trouble.
func (s *Service) refusedApplication(ctx context.Context, instance string, err error) {
	if mail.KindOf(err) != mail.KindMisconfigured {
		return
	}
	if nerr := s.misconfigured(context.WithoutCancel(ctx), instance, "", err); nerr != nil {
		s.log.ErrorContext(ctx, "misconfiguration of a provider not noted", "provider", instance, "error", nerr)
	}
}
