package box

import "github.com/postern-mail/postern/store"

// Sized tells the Boxes that a message's size is known now: the journal has no
// entry of that, since nothing changed that anybody was told.
func (s *Set) Sized(m *store.Message) {
	for mailbox, uid := range m.UIDs {
		s.mu.Lock()
		b := s.boxes[mailbox]
		s.mu.Unlock()
		if b != nil {
			b.SetSize(uid, m.ID, m.Size)
		}
	}
}
