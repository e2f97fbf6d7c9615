package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// metrics of all instances.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	throttled *prometheus.CounterVec
	restarts  *prometheus.CounterVec
	up        *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_provider_requests_total",
			Help: "Calls to provider instances by verb and kind of error; ok for none.",
		}, []string{"instance", "verb", "kind"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "postern_provider_request_seconds",
			Help:    "How long calls to provider instances took, waiting and repeating included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // 1 ms to a minute
		}, []string{"instance", "verb"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_provider_retries_total",
			Help: "Repetitions of calls after a passing fault.",
		}, []string{"instance", "verb"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_provider_throttled_total",
			Help: "Calls that ended because the provider's quota was spent.",
		}, []string{"instance"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_plugin_restarts_total",
			Help: "Times that an instance's plugin process died or failed to start, and was started again.",
		}, []string{"instance"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postern_plugin_up",
			Help: "1 while an instance's plugin process serves calls.",
		}, []string{"instance"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.retries, m.throttled, m.restarts, m.up} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register plugin metrics: %w", err)
		}
	}
	return m, nil
}

// begin shows an instance's series before anything has happened.
func (m *metrics) begin(instance string) {
	m.throttled.WithLabelValues(instance)
	m.restarts.WithLabelValues(instance)
	m.up.WithLabelValues(instance)
}

// forget drops what an instance that is no more would leave behind.
func (m *metrics) forget(instance string) {
	labels := prometheus.Labels{"instance": instance}
	m.requests.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
	m.retries.DeletePartialMatch(labels)
	m.throttled.DeletePartialMatch(labels)
	m.restarts.DeletePartialMatch(labels)
	m.up.DeletePartialMatch(labels)
}

// observe logs and counts each call once, whatever it took.
func observe(next doer, instance string, m *metrics, log *slog.Logger, now func() time.Time) doer {
	return func(ctx context.Context, c *call, f func(context.Context, provider.Provider) error) error {
		began := now()
		err := next(ctx, c, f)
		took := now().Sub(began)
		kind := "ok"
		if err != nil {
			kind = string(mail.KindOf(err))
		}
		m.requests.WithLabelValues(instance, string(c.verb), kind).Inc()
		if c.verb != provider.VerbListen { // lasts as long as the process
			m.seconds.WithLabelValues(instance, string(c.verb)).Observe(took.Seconds())
		}
		if kind == string(mail.KindThrottled) {
			m.throttled.WithLabelValues(instance).Inc()
		}
		if log.Enabled(ctx, slog.LevelDebug) {
			attrs := []slog.Attr{slog.String("verb", string(c.verb)), slog.Duration("duration", took), slog.String("kind", kind)}
			if c.account != "" {
				attrs = append(attrs, slog.String("account", c.account))
			}
			var e *mail.Error
			if errors.As(err, &e) && e.Code != "" {
				attrs = append(attrs, slog.String("code", e.Code))
			}
			log.LogAttrs(ctx, slog.LevelDebug, "provider call", attrs...)
		}
		return err
	}
}
