package pubsub

import (
	"fmt"

	"github.com/postern-mail/postern/internal/sandbox/keep"
)

const stateFile = "pubsub.json"

type state struct {
	LastID   uint64
	Topics   []*topic
	Subs     []*subscription
	Projects map[string]policy
}

// Save keeps topics, subscriptions and what waits in them in a folder.
func (s *Service) Save(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := state{LastID: s.lastID, Projects: s.projects}
	for _, t := range s.topics {
		out.Topics = append(out.Topics, t)
	}
	for _, sub := range s.subs {
		out.Subs = append(out.Subs, sub)
	}
	if err := keep.Save(dir, stateFile, out); err != nil {
		return fmt.Errorf("save topics: %w", err)
	}
	return nil
}

// Load takes up what Save left. What was under way is delivered again.
func (s *Service) Load(dir string) error {
	var in state
	found, err := keep.Load(dir, stateFile, &in)
	if err != nil {
		return fmt.Errorf("load topics: %w", err)
	}
	if !found {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID, s.projects = in.LastID, in.Projects
	if s.projects == nil {
		s.projects = map[string]policy{}
	}
	for _, t := range in.Topics {
		s.topics[t.Name] = t
	}
	for _, sub := range in.Subs {
		sub.changed = make(chan struct{})
		s.subs[sub.Name] = sub
		s.startPush(sub)
	}
	return nil
}
