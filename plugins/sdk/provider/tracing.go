package provider

import (
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// DialOptions are what a host dials a plugin with: limits, and trace context
// that crosses to the plugin (W3C Trace Context). A nil tracer provider means
// OpenTelemetry's global one.
func DialOptions(tracers trace.TracerProvider) []grpc.DialOption {
	opts := []otelgrpc.Option{otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithFilter(traced)}
	if tracers != nil {
		opts = append(opts, otelgrpc.WithTracerProvider(tracers))
	}
	return []grpc.DialOption{
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(opts...)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}
}

func serverStats() stats.Handler {
	return otelgrpc.NewServerHandler(otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithFilter(traced))
}

// traced leaves out go-plugin's own calls and those that last as long as the
// process.
func traced(info *stats.RPCTagInfo) bool {
	switch info.FullMethodName {
	case pb.Provider_Session_FullMethodName, pb.Provider_Listen_FullMethodName:
		return false
	}
	return strings.HasPrefix(info.FullMethodName, servicePrefix)
}
