package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/store"
)

// metrics are counted as things happen; what waits is counted by the store
// when somebody asks.
type metrics struct {
	outbox    *Outbox
	attempts  *prometheus.CounterVec
	latencies prometheus.Histogram
	pending   *prometheus.Desc
	oldest    *prometheus.Desc
	dead      *prometheus.Desc
	flying    *prometheus.Desc
	blocked   *prometheus.Desc
}

// scrapeTime bounds how long a scrape waits for the store.
const scrapeTime = 2 * time.Second

func newMetrics(o *Outbox, r prometheus.Registerer) *metrics {
	m := &metrics{
		outbox: o,
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_delivery_attempts_total",
			Help: "Attempts to deliver, by class of outcome.",
		}, []string{"class"}),
		latencies: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "postern_delivery_latency_seconds",
			Help:    "Time from the event to the receiver's 2xx.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400},
		}),
		pending: prometheus.NewDesc("postern_outbox_pending", "Deliveries that wait.", nil, nil),
		oldest:  prometheus.NewDesc("postern_outbox_oldest_age_seconds", "Age of the oldest delivery that waits, by endpoint.", []string{"endpoint"}, nil),
		dead:    prometheus.NewDesc("postern_dead_letters", "Deliveries that were given up and can be redelivered.", nil, nil),
		flying:  prometheus.NewDesc("postern_outbox_in_flight", "Attempts under way.", nil, nil),
		blocked: prometheus.NewDesc("postern_outbox_lanes_blocked", "Lanes that wait for the next attempt of a head that failed.", nil, nil),
	}
	for _, c := range Classes() {
		m.attempts.WithLabelValues(string(c))
	}
	if r != nil {
		r.MustRegister(m)
	}
	return m
}

func (m *metrics) attempt(c Class)         { m.attempts.WithLabelValues(string(c)).Inc() }
func (m *metrics) latency(d time.Duration) { m.latencies.Observe(max(0, d.Seconds())) }

// Describe is prometheus.Collector's.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.attempts.Describe(ch)
	m.latencies.Describe(ch)
	ch <- m.pending
	ch <- m.oldest
	ch <- m.dead
	ch <- m.flying
	ch <- m.blocked
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.attempts.Collect(ch)
	m.latencies.Collect(ch)
	o := m.outbox
	o.mu.Lock()
	flying, blocked := o.flying, 0
	for _, ep := range o.endpoints {
		for _, l := range ep.lanes {
			if !l.wait.failed.IsZero() {
				blocked++
			}
		}
	}
	o.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(m.blocked, prometheus.GaugeValue, float64(blocked))
	ch <- prometheus.MustNewConstMetric(m.flying, prometheus.GaugeValue, float64(flying))

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	var stats store.OutboxStats
	oldest := map[string]time.Time{}
	if err := o.store.View(ctx, func(tx store.Tx) (err error) {
		if stats, err = tx.OutboxStats(); err != nil {
			return err
		}
		endpoints, err := tx.Endpoints()
		for _, e := range endpoints {
			of, serr := tx.EndpointStats(e.ID)
			if serr != nil {
				return serr
			}
			oldest[e.ID] = of.Oldest
		}
		return err
	}); err != nil {
		ch <- prometheus.NewInvalidMetric(m.pending, err)
		return
	}
	for id, since := range oldest {
		age := 0.0
		if !since.IsZero() {
			age = max(0, o.opts.Now().Sub(since).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, age, id)
	}
	ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(stats.Pending))
	ch <- prometheus.MustNewConstMetric(m.dead, prometheus.GaugeValue, float64(stats.Dead))
}
