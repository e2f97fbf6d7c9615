package push

import (
	"fmt"

	"github.com/postern-mail/postern/internal/sandbox/keep"
)

const stateFile = "subscriptions.json"

// Save keeps the subscriptions in a folder. Notifications under way are not
// kept.
func (s *Service) Save(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := keep.Save(dir, stateFile, sorted(s.subs, func(*subscription) bool { return true })); err != nil {
		return fmt.Errorf("save subscriptions: %w", err)
	}
	return nil
}

// Load takes up what Save left; what ran out meanwhile goes at the next sweep.
func (s *Service) Load(dir string) error {
	var subs []*subscription
	if _, err := keep.Load(dir, stateFile, &subs); err != nil {
		return fmt.Errorf("load subscriptions: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range subs {
		s.remember(sub)
	}
	return nil
}
