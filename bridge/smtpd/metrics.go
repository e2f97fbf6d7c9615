package smtpd

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the door. Logins are counted by access, submissions by submission.
type metrics struct {
	connections prometheus.Gauge
	refused     prometheus.Counter
	messages    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_smtp_connections", Help: "SMTP connections that are open."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_smtp_connections_refused_total", Help: "SMTP connections that were turned away because there were too many."}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_smtp_messages_total", Help: "Messages that were submitted over SMTP, by the class of the answer: 2 taken, 4 try again, 5 refused."}, []string{"answer"}),
	}
	for _, c := range []string{"2", "4", "5"} {
		m.messages.WithLabelValues(c)
	}
	if r != nil {
		r.MustRegister(m.connections, m.refused, m.messages)
	}
	return m
}

func (m *metrics) answered(code int) { m.messages.WithLabelValues(strconv.Itoa(code / 100)).Inc() }
