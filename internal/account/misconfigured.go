package account

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Misconfigurations gives why provider instances cannot work, by instance, as
// the store has it: for who looks while no gateway runs.
func Misconfigurations(tx store.Tx) (map[string]string, error) { return storedFaults(tx) }

// Configured makes the metrics of these instances show 0 before anything has
// happened to them: a series that is not there cannot be told from one that is
// not scraped, and its first increase is never seen.
func (s *Service) Configured(instances []string) {
	for _, name := range instances {
		s.faults.gauge.WithLabelValues(name)
		s.refreshes.WithLabelValues(name)
	}
	for _, kind := range []mail.Kind{mail.KindGrantExpired, mail.KindMisconfigured} {
		s.refused.WithLabelValues(string(kind))
	}
}
