package main

import (
	"fmt"
	"time"
)

// moment is a time on the command line: RFC 3339, or how long ago.
type moment struct{ time.Time }

// UnmarshalText reads what was typed.
func (m *moment) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		ago, err := time.ParseDuration(string(text))
		if err != nil || ago < 0 {
			return fmt.Errorf("%s is neither a time (RFC 3339) nor how long ago (36h)", text)
		}
		at = time.Now().Add(-ago)
	}
	m.Time = at
	return nil
}
