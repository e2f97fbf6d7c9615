package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const stateFile = "subscriptions.json"

// Save keeps the subscriptions in a folder. Notifications under way are not
// kept.
func (s *Service) Save(dir string) error {
	s.mu.Lock()
	text, err := json.Marshal(sorted(s.subs, func(*subscription) bool { return true }))
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save subscriptions: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("save subscriptions: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save subscriptions: %w", err)
	}
	return nil
}

// Load takes up what Save left; what ran out meanwhile goes at the next sweep.
func (s *Service) Load(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load subscriptions: %w", err)
	}
	var subs []*subscription
	if err := json.Unmarshal(text, &subs); err != nil {
		return fmt.Errorf("load subscriptions: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range subs {
		s.remember(sub)
	}
	return nil
}
