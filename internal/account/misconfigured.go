package account

import "github.com/postern-mail/postern/store"

// Misconfigurations gives why provider instances cannot work, by instance, as
// the store has it: for who looks while no gateway runs.
func Misconfigurations(tx store.Tx) (map[string]string, error) { return storedFaults(tx) }
