package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"net"

	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// TestLogLines: what go-plugin's host looks for in a line.
func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newLogHandler(&out, slog.LevelInfo))
	log.Debug("not this")
	log.With("instance", "i1").Warn("token refused", "account", "a1", slog.Group("http", "level", 3), "err", errors.New("no"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	for key, want := range map[string]any{"@level": "warn", "@message": "token refused", "instance": "i1", "account": "a1", "err": "no"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if _, ok := line["@timestamp"].(string); !ok {
		t.Errorf("no timestamp in %v", line)
	}
}

func TestLogLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{"debug": slog.LevelDebug, "ERROR": slog.LevelError, "": slog.LevelInfo, "loud": slog.LevelInfo} {
		if got := logLevel(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// TestTraceCrosses: a span of the host is the parent at the plugin, though the
// plugin exports nothing itself.
func TestTraceCrosses(t *testing.T) {
	seen := make(chan oteltrace.SpanContext, 1)
	s := newServer(&funcs{search: func(ctx context.Context, _ *SearchRequest) (*SearchResponse, error) {
		seen <- oteltrace.SpanContextFromContext(ctx)
		return &SearchResponse{}, nil
	}})
	lis := bufconn.Listen(1 << 16)
	g := s.newGRPC(nil)
	pb.RegisterProviderServer(g, s)
	go func() { _ = g.Serve(lis) }()
	defer g.Stop()
	tracers := trace.NewTracerProvider()
	conn, err := grpc.NewClient("passthrough:///p", append(DialOptions(tracers),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, span := tracers.Tracer("test").Start(t.Context(), "notification")
	if _, err := NewClient(conn).Search(ctx, &SearchRequest{}); err != nil {
		t.Fatal(err)
	}
	span.End()
	if got := (<-seen).TraceID(); got != span.SpanContext().TraceID() {
		t.Errorf("trace at the plugin is %s, want %s", got, span.SpanContext().TraceID())
	}
}
