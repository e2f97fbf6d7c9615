package webhook

import (
	"context"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// WantsContent reports whether an endpoint wants full payloads of an account's
// new messages, so that their content is worth bringing before they are
// journalled.
func (s *Service) WantsContent(ctx context.Context, account string) bool {
	var list []*target
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = s.targets(tx)
		return err
	})
	if err != nil {
		return false // bodies are then thin, and say so
	}
	created := &event.Event{Type: event.MessageCreated, Account: account}
	for _, t := range list {
		if t.config.Payload == PayloadFull && t.wants(created) {
			return true
		}
	}
	return false
}
