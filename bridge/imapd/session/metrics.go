package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// register has what the indexes hold measured.
func (s *Server) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postern_imap_indexes", Help: "Mailboxes whose index is in memory."},
			func() float64 { boxes, _ := s.boxes.Size(); return float64(boxes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postern_imap_index_messages", Help: "Messages in those indexes."},
			func() float64 { _, messages := s.boxes.Size(); return float64(messages) }),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics of mailbox indexes: %w", err)
		}
	}
	return nil
}
