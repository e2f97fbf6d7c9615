package push

import "time"

// States of an endpoint's host.
const (
	healthy = iota
	slow
	dropping
)

// A host's answers within one window.
type host struct {
	since      time.Time
	seen, slow int
}

// judge takes the time of one answer into account.
func (s *Service) judge(name string, took time.Duration) {
	if s.settings.SlowSamples < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.window(name)
	h.seen++
	if took > s.settings.SlowAfter {
		h.slow++
	}
}

// stateOf says how a host is treated for the rest of its window. Called with
// the lock held.
func (s *Service) stateOf(name string) int {
	if s.settings.SlowSamples < 0 {
		return healthy
	}
	h := s.window(name)
	if h.seen < s.settings.SlowSamples {
		return healthy
	}
	switch share := float64(h.slow) / float64(h.seen); {
	case share >= s.settings.DropShare:
		return dropping
	case share >= s.settings.SlowShare:
		return slow
	}
	return healthy
}

func (s *Service) window(name string) *host {
	now := s.opts.Now()
	h := s.hosts[name]
	if h == nil || now.Sub(h.since) >= s.settings.SlowWindow {
		h = &host{since: now}
		s.hosts[name] = h
	}
	return h
}
