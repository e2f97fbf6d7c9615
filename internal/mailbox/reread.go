package mailbox

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// readCopies reads the copies of which the provider's answer told too little
// to mirror them. Where that fails, the feed tells of them later.
func (s *Service) readCopies(ctx context.Context, w *work, asked []*store.Message, told []provider.Result, rs []Result) {
	missing := map[int]string{}
	var ids []string
	for i := range rs {
		if id := told[i].Message.ProviderID; rs[i].Err == nil && rs[i].Message == nil && id != "" {
			missing[i] = id
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	f := &feed{s: s, acct: w.acct, p: w.p, info: w.info, refetch: map[string]struct{}{}}
	f.state.Complete = true
	if err := f.fetch(ctx, ids, false); err != nil {
		s.log.WarnContext(ctx, "copies not read", "account", w.acct.ID, "error", err)
		return
	}
	for i, id := range missing {
		m, err := s.message(ctx, MessageID(w.acct.ID, id))
		if err != nil {
			s.log.DebugContext(ctx, "copy not mirrored", "account", w.acct.ID, "error", err)
			continue
		}
		if kept, err := s.keepLocal(ctx, w.acct, m.ID, asked[i].Local); err != nil {
			s.log.WarnContext(ctx, "a copy lacks keywords of its original", "account", w.acct.ID, "message", m.ID, "error", err)
		} else if kept != nil {
			m = kept
		}
		rs[i].Message = m
	}
}

// readOvertaken reads messages of which something else became known while our
// write was under way. Where that fails, the next round asks.
func (s *Service) readOvertaken(ctx context.Context, w *work, overtaken []string, rs []Result) {
	if len(overtaken) == 0 {
		return
	}
	f := &feed{s: s, acct: w.acct, p: w.p, info: w.info, refetch: map[string]struct{}{}}
	f.state.Complete = true
	if err := f.fetch(ctx, overtaken, false); err != nil {
		s.log.WarnContext(ctx, "changed messages not read again", "account", w.acct.ID, "error", err)
		s.Touch(context.WithoutCancel(ctx), w.acct.ID)
		return
	}
	for i := range rs {
		if rs[i].Message == nil || !slices.Contains(overtaken, rs[i].Message.ProviderID) {
			continue
		}
		if m, err := s.message(ctx, rs[i].ID); err == nil {
			rs[i].Message = m
		}
	}
}
