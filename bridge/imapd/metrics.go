package imapd

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's. Names of commands are those that there are, so that
// no client can make new rows.
type metrics struct {
	connections prometheus.Gauge
	commands    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_imap_connections", Help: "IMAP connections that are open."}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_imap_commands_total", Help: "IMAP commands by name and answer."}, []string{"command", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_imap_command_seconds", Help: "How long IMAP commands took, IDLE left out.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100}}, []string{"command"}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.connections, m.commands, m.seconds} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register imap metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) done(command, status string, took time.Duration) {
	m.commands.WithLabelValues(command, status).Inc()
	if command != "IDLE" {
		m.seconds.WithLabelValues(command).Observe(took.Seconds())
	}
}
