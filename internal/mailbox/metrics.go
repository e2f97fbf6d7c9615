package mailbox

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

type metrics struct {
	rounds      prometheus.Histogram
	failures    *prometheus.CounterVec
	items       prometheus.Counter
	comparisons prometheus.Counter
	turns       prometheus.Counter
	lag         prometheus.Histogram
	bodies      prometheus.Counter
	missing     prometheus.Gauge
	unreadable  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		rounds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_sync_round_seconds", Help: "How long a sync round of an account takes.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 10)}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_sync_failures_total", Help: "Sync rounds that failed, by kind of error."}, []string{"kind"}),
		items: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_sync_items_total", Help: "Change items applied to the mirror."}),
		comparisons: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_sync_comparisons_total", Help: "Full comparisons after a lost cursor."}),
		turns: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_sync_turns_total", Help: "Sync rounds that made way for other accounts, to go on later."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_sync_lag_seconds", Help: "From a message's arrival at the provider to its event.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2.5, 12)}),
		bodies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_bodies_ahead_total", Help: "Messages whose bytes were brought ahead, or looked through anew."}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_bodies_missing", Help: "Messages whose bytes are still to be brought ahead."}),
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_messages_unreadable", Help: "Messages that their provider tells of and does not give, and that are tried again."}),
	}
	// Those that pass, and those that end an account's rounds, are looked out for.
	for _, kind := range []mail.Kind{mail.KindThrottled, mail.KindUnavailable, mail.KindMisconfigured, mail.KindGrantExpired, mail.KindInternal} {
		m.failures.WithLabelValues(string(kind))
	}
	if r != nil {
		r.MustRegister(m.rounds, m.failures, m.items, m.comparisons, m.turns, m.lag, m.bodies, m.missing, m.unreadable)
	}
	return m
}
