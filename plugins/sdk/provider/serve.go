package provider

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	// sessionWait is how long a plugin waits for its first session.
	sessionWait = 30 * time.Second
	// callGrace is what running calls get to end in when the host is gone.
	callGrace = 200 * time.Millisecond
	// exitGrace is when the process ends whatever still runs.
	exitGrace = 600 * time.Millisecond
)

// Serve runs a provider as a plugin process and returns when the host is gone.
// It is all that a plugin's main does:
//
//	func main() { provider.Serve(outpost.New()) }
//
// Serve sets slog's default logger to one whose lines the host takes up with
// their level. Started by hand it says what the program is, and exits with 1.
//
// The process does not outlive its host: it ends within a second when the
// Session stream breaks, when none comes within 30 seconds, or when standard
// input ends where the host said that this is its lifeline.
func Serve(p Provider) {
	// go-plugin puts a pipe in the place of os.Stderr.
	stderr := os.Stderr
	level := logLevel(os.Getenv(EnvLogLevel))
	slog.SetDefault(slog.New(newLogHandler(stderr, level)))
	s := newServer(p)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{ProtocolVersion: {PluginName: &grpcPlugin{server: s}}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := s.newGRPC(opts)
			go s.endWithHost(g)
			return g
		},
		Logger: hclog.New(&hclog.LoggerOptions{Output: stderr, Level: hclog.LevelFromString(level.String()), JSONFormat: true}),
	})
}

// endWithHost stops the server, and so Serve, once the host is gone.
func (s *server) endWithHost(g *grpc.Server) {
	var inputEnded chan struct{}
	if os.Getenv(EnvLifeline) == LifelineStdin {
		inputEnded = make(chan struct{})
		go func() {
			// Nothing is ever written there; the end or an error is all the same.
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(inputEnded)
		}()
	}
	wait := time.NewTimer(sessionWait)
	defer wait.Stop()
	reason := ""
	for began := s.began; reason == ""; {
		select {
		case <-began:
			wait.Stop()
			began = nil
		case <-wait.C:
			reason = "no session came"
		case <-s.ended:
			reason = "the session ended"
		case <-inputEnded:
			reason = "standard input ended"
		}
	}
	slog.Debug("plugin ends", "reason", reason)
	time.AfterFunc(exitGrace, func() { os.Exit(1) })
	s.cancelCalls()
	drained := make(chan struct{})
	go func() {
		s.calls.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(callGrace):
	}
	g.Stop()
}

// logLevel reads EnvLogLevel; info where it says nothing sensible.
func logLevel(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return l
}

// newLogHandler writes lines as go-hclog does in JSON, which is what a
// go-plugin host reads level and attributes from.
func newLogHandler(w io.Writer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.TimeKey:
				return slog.String("@timestamp", a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
			case slog.LevelKey:
				l, _ := a.Value.Any().(slog.Level)
				return slog.String("@level", strings.ToLower(l.String()))
			case slog.MessageKey:
				a.Key = "@message"
			}
			return a
		},
	})
}
