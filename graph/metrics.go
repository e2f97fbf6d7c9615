package graph

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

type metrics struct{ seconds *prometheus.HistogramVec }

func newMetrics(reg prometheus.Registerer, streams *atomic.Int64) (*metrics, error) {
	m := &metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "postern_graphql_seconds",
		Help:    "Time to answer GraphQL queries and mutations, by kind of operation and outcome (ok, or the first error's code).",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"operation", "outcome"})}
	if reg == nil {
		return m, nil
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_graphql_subscriptions",
		Help: "GraphQL subscriptions that run.",
	}, func() float64 { return float64(streams.Load()) })
	for _, c := range []prometheus.Collector{m.seconds, running} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// measure times an answer and spans it. The events of a subscription are not
// timed: most of their time is waiting.
func (s *Server) measure(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	operation, name := "refused", ""
	if op := graphql.GetOperationContext(ctx); op.Operation != nil {
		operation, name = string(op.Operation.Operation), op.Operation.Name
	}
	if operation == string(ast.Subscription) {
		return next(ctx)
	}
	ctx, span := s.opts.Tracer.Tracer("github.com/postern-mail/postern/graph").Start(ctx, "graphql "+operation,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("graphql.operation.name", name)))
	defer span.End()
	began := time.Now()
	resp := next(ctx)
	outcome := "ok"
	if resp == nil {
		outcome = "cancelled"
	} else if len(resp.Errors) > 0 {
		outcome = "error"
		if code, ok := resp.Errors[0].Extensions["code"].(string); ok {
			outcome = strings.ToLower(code)
		}
		span.SetStatus(codes.Error, outcome)
	}
	s.metrics.seconds.WithLabelValues(operation, outcome).Observe(time.Since(began).Seconds())
	return resp
}
