package submission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/store"
)

// metrics of submissions that ended.
type metrics struct {
	ended *prometheus.CounterVec
	took  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_submissions_total", Help: "Submissions that ended, by state: sent, failed, cancelled."}, []string{"state"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_submission_seconds", Help: "From when a message was to be sent until the provider had sent it.",
			Buckets: prometheus.ExponentialBuckets(0.05, 3, 12)}),
	}
	for _, s := range []store.SubmissionState{store.SubmissionSent, store.SubmissionFailed, store.SubmissionCancelled} {
		m.ended.WithLabelValues(string(s))
	}
	if r != nil {
		r.MustRegister(m.ended, m.took)
	}
	return m
}

// end counts a submission that has ended.
func (m *metrics) end(sub *store.Submission) {
	m.ended.WithLabelValues(string(sub.State)).Inc()
	if sub.State != store.SubmissionSent {
		return
	}
	due := sub.CreatedAt
	if sub.SendAt.After(due) {
		due = sub.SendAt
	}
	m.took.Observe(max(0, sub.DoneAt.Sub(due)).Round(time.Millisecond).Seconds())
}
