package session

import "github.com/postern-mail/postern/store"

// Sized tells that a message's bytes are here, and its size is exact from now
// on.
func (s *Server) Sized(m *store.Message) { s.boxes.Sized(m) }
