package providertest

import (
	"bytes"
	"io"
	"sync/atomic"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// sink keeps everything that Fetch reads, and notes what must not happen.
type sink struct {
	messages map[string]mail.Message
	raw      map[string][]byte
	failed   map[string]error
	order    []string
	stop     func(id string) error // what the call for an id answers
	busy     busy
}

func (s *sink) enter(id string) error {
	s.order = append(s.order, id)
	if s.stop != nil {
		return s.stop(id)
	}
	return nil
}

func (s *sink) Message(m *mail.Message) error {
	defer s.busy.leave()
	s.busy.enter()
	if s.messages == nil {
		s.messages = map[string]mail.Message{}
	}
	s.messages[m.ProviderID] = *m
	return s.enter(m.ProviderID)
}

func (s *sink) Raw(id, _ string, r io.Reader) error {
	defer s.busy.leave()
	s.busy.enter()
	var b bytes.Buffer
	b.Grow(int(min(max(s.messages[id].Size, 0), largeMessage+4096)) + bytes.MinRead)
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	if s.raw == nil {
		s.raw = map[string][]byte{}
	}
	s.raw[id] = b.Bytes()
	return s.enter(id)
}

func (s *sink) Failed(id string, err error) error {
	defer s.busy.leave()
	s.busy.enter()
	if s.failed == nil {
		s.failed = map[string]error{}
	}
	s.failed[id] = err
	return s.enter(id)
}

// busy notes whether a function was entered while it was still running.
type busy struct {
	inside  atomic.Int32
	clashed atomic.Bool
}

func (b *busy) enter() {
	if b.inside.Add(1) > 1 {
		b.clashed.Store(true)
	}
}

func (b *busy) leave() { b.inside.Add(-1) }
