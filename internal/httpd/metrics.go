package httpd

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics of the door, by what was asked for. GraphQL has times of its own,
// for its streams live as long as somebody listens.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_http_requests_total", Help: "Requests that were answered, by door and status; streams when they end."}, []string{"door", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_http_request_seconds", Help: "How long answering took, by door; GraphQL is measured by itself.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"door"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.seconds)
	}
	return m
}

// count counts what a handler answers.
func (m *metrics) count(door string, next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(prometheus.Labels{"door": door}), next)
}

// measure counts, and says how long it took.
func (m *metrics) measure(door string, next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerDuration(m.seconds.MustCurryWith(prometheus.Labels{"door": door}), m.count(door, next))
}
