package gmail

import "net/http"

// writeHandlers are the methods of the writing half, by id.
func (s *Server) writeHandlers() map[string]handler {
	return map[string]handler{}
}

// admit lets a request through the quota; leave ends its stay.
func (s *Server) admit(*call) (leave func(), err error) { return func() {}, nil }

// transport wraps the batch endpoint around the methods.
func (s *Server) transport(next http.Handler) http.Handler { return next }

// Lifecycle plays an event of a user's watches.
func (s *Server) Lifecycle(address, event string) (int, error) {
	if s.mailbox(address) == nil {
		return 0, errNoMailbox
	}
	return 0, nil
}
