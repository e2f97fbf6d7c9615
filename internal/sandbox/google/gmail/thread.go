package gmail

import (
	"slices"
	"strings"
)

// A message joins a thread when it refers to a message of it (References,
// In-Reply-To) and has the same subject. A threadId that a client gives is one
// condition more, never a replacement of the others: "1. The requested threadId
// must be specified on the Message […]. 2. The References and In-Reply-To
// headers must be set in compliance with the RFC 2822 standard. 3. The Subject
// headers must match." (DISC Message.threadId). What joins no thread begins one,
// which has its id.

// join gives a new message its thread.
func (mb *mailbox) join(m *Message, wanted string) {
	m.ThreadID = m.ID
	c := m.content()
	for _, id := range c.refers {
		t, ok := mb.known[id]
		if !ok || wanted != "" && t != wanted {
			continue
		}
		if ms := mb.threads[t]; len(ms) > 0 && ms[0].content().base == c.base {
			m.ThreadID = t
			return
		}
	}
}

// forgetThread drops what pointed to a thread whose last message is gone. Ids
// of messages that were deleted before stay known until then: what refers to
// them still belongs here.
func (mb *mailbox) forgetThread(last *Message) {
	delete(mb.threads, last.ThreadID)
	for id, t := range mb.known {
		if t == last.ThreadID {
			delete(mb.known, id)
		}
	}
}

// thread finds the messages of a thread, oldest first.
func (mb *mailbox) thread(id string) ([]*Message, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	ms := slices.Clone(mb.threads[id])
	if len(ms) == 0 {
		return nil, errNotFound()
	}
	slices.SortFunc(ms, older)
	return ms, nil
}

// threadHistory is the history id of a thread: the newest of its messages'.
func threadHistory(ms []*Message) uint64 {
	var n uint64
	for _, m := range ms {
		n = max(n, m.HistoryID)
	}
	return n
}

// replyMarks are what mail programs put in front of a subject.
var replyMarks = []string{"re:", "fwd:", "fw:", "aw:", "wg:", "sv:", "tr:", "r:", "antw:", "rv:", "vs:"}

// baseSubject is a subject without marks of answers, as threads compare it.
func baseSubject(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	for {
		t := s
		for _, mark := range replyMarks {
			t = strings.TrimSpace(strings.TrimPrefix(t, mark))
		}
		if t == s {
			return s
		}
		s = t
	}
}
