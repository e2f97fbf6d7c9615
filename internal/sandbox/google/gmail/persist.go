package gmail

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// A savedMailbox is a mailbox in its file.
type savedMailbox struct {
	User     cloud.User
	Labels   []label // the user's
	Messages []savedMessage
	NextID   uint64
	NextWord uint64
	History  uint64
	Floor    uint64
	Log      []record
	Out      outgoing
}

type savedMessage struct {
	ID       string
	ThreadID string
	Labels   []string
	Date     time.Time
	History  uint64
	Raw      []byte
}

// fileSuffix ends the names of the files that Save writes, one for each user.
const fileSuffix = ".mailbox.json"

// Save writes every mailbox into dir, which exists.
func (s *Server) Save(dir string) error {
	for _, u := range s.Users() {
		mb := s.mailbox(u.ID)
		mb.mu.Lock()
		saved := mb.save()
		err := keep.Save(dir, u.ID+fileSuffix, saved)
		mb.mu.Unlock()
		if err != nil {
			return fmt.Errorf("save mailbox: %w", err)
		}
	}
	return nil
}

// Load adds the mailboxes that Save wrote into dir. A folder that does not
// exist holds none.
func (s *Server) Load(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+fileSuffix))
	if err != nil {
		return fmt.Errorf("load mailboxes: %w", err)
	}
	for _, name := range names {
		var saved savedMailbox
		if _, err := keep.Load(dir, filepath.Base(name), &saved); err != nil {
			return fmt.Errorf("load mailbox: %w", err)
		}
		mb := newMailbox(saved.User, &s.set)
		mb.restore(&saved)
		if err := s.people.Add(mb.user, mb); err != nil {
			return fmt.Errorf("load mailbox: %w", err)
		}
	}
	return nil
}

// save is called with the mailbox locked, and what it gives is written before
// that ends.
func (mb *mailbox) save() *savedMailbox {
	saved := &savedMailbox{
		User: mb.user, NextID: mb.nextID, NextWord: mb.nextWord, History: mb.history, Floor: mb.floor, Log: mb.log, Out: mb.out,
	}
	for _, l := range mb.sortedLabels() {
		if l.Type == "user" {
			saved.Labels = append(saved.Labels, *l)
		}
	}
	for _, m := range mb.order {
		saved.Messages = append(saved.Messages, savedMessage{m.ID, m.ThreadID, m.LabelIDs, m.InternalDate, m.HistoryID, m.Raw})
	}
	return saved
}

// restore fills a new mailbox. Messages join the indexes in the order in which
// they came, so that each finds its thread's first as it was.
func (mb *mailbox) restore(saved *savedMailbox) {
	mb.nextID, mb.nextWord, mb.history, mb.floor = saved.NextID, saved.NextWord, saved.History, saved.Floor
	mb.log, mb.out = saved.Log, saved.Out
	for i := range saved.Labels {
		l := saved.Labels[i]
		mb.labels[l.ID] = &l
	}
	slices.SortFunc(saved.Messages, func(a, b savedMessage) int { return strings.Compare(a.ID, b.ID) })
	for _, sm := range saved.Messages {
		mb.insert(&Message{ID: sm.ID, ThreadID: sm.ThreadID, LabelIDs: sm.Labels, InternalDate: sm.Date.UTC(), HistoryID: sm.History, Raw: sm.Raw})
	}
}
