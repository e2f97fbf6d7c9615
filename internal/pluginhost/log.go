package pluginhost

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// pluginLogName marks the lines that a plugin wrote, among go-plugin's own.
const pluginLogName = "stderr"

// newPluginLogger gives go-plugin a logger whose lines end in log: a plugin's
// with the level they were written with, go-plugin's own, which concern its
// insides, at debug.
func newPluginLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Trace})
	l.RegisterSink(&slogSink{log: log})
	return l
}

type slogSink struct{ log *slog.Logger }

// Accept is hclog's SinkAdapter.
func (s *slogSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	if level == hclog.Trace {
		return // go-plugin's, one per chunk of output
	}
	l := slog.LevelDebug
	if name != "" { // go-plugin names the logger of a plugin's lines after its file
		switch level {
		case hclog.Info:
			l = slog.LevelInfo
		case hclog.Warn:
			l = slog.LevelWarn
		case hclog.Error:
			l = slog.LevelError
		}
	}
	if !s.log.Enabled(context.Background(), l) {
		return
	}
	attrs := make([]any, 0, len(args)+2)
	for i := 0; i+1 < len(args); i += 2 {
		if key, _ := args[i].(string); key != "timestamp" { // ours is as good
			attrs = append(attrs, args[i], args[i+1])
		}
	}
	if name != "" {
		attrs = append(attrs, "from", pluginLogName)
	}
	s.log.Log(context.Background(), l, msg, attrs...)
}
