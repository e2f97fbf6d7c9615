package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// exitGrace is what a plugin gets to end by itself: the contract says one
// second.
const exitGrace = 1500 * time.Millisecond

// LaunchOptions say how to start one plugin process. Only Path must be set.
type LaunchOptions struct {
	Path string
	// SHA256 is the sum that the file must have; empty for any.
	SHA256  string
	Log     *slog.Logger
	Tracers trace.TracerProvider
	// TempDir holds the folder of the process's socket; empty for the
	// system's. Keep it short: a socket's path has 108 bytes.
	TempDir string
	// Timeout is what the handshake may take, 10 s where it is zero.
	Timeout time.Duration
}

// Process is a running plugin. Somebody must run its Session soon, or it ends
// by itself, and must call Stop at last.
type Process struct {
	// Provider is the plugin as it is, without retry, logs or metrics.
	Provider provider.Provider
	client   *plugin.Client
	conn     *grpc.ClientConn
	proc     *process
}

// Launch starts a plugin process and connects to it. A file that can never
// work (another protocol version, another sum, no program) is
// mail.KindMisconfigured; else the error is mail.KindUnavailable.
func Launch(ctx context.Context, o LaunchOptions) (*Process, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if err := verify(o.Path, o.SHA256); err != nil {
		return nil, err
	}
	level := slog.LevelInfo
	if o.Log.Enabled(ctx, slog.LevelDebug) {
		level = slog.LevelDebug
	}
	proc, err := newProcess(o.Path, pluginEnv(os.Environ(), level))
	if err != nil {
		return nil, mail.Errorf(mail.KindUnavailable, "start plugin", "%w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = proc.Kill(ctx) })
	defer stop()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  provider.Handshake(),
		VersionedPlugins: provider.HostPlugins(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			proc.cmd.Env = append(proc.cmd.Env, cmd.Env...) // cookie, versions, certificate, socket folder
			return proc, nil
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     o.Timeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: o.TempDir},
		GRPCDialOptions:  provider.DialOptions(o.Tracers),
		Logger:           newPluginLogger(o.Log),
	})
	p := &Process{client: client, proc: proc}
	rpc, err := client.Client()
	if err != nil {
		p.Stop()
		if ctx.Err() != nil {
			return nil, &mail.Error{Kind: mail.KindUnavailable, Op: "start plugin", Message: ctx.Err().Error(), Err: ctx.Err()}
		}
		return nil, startError(err)
	}
	raw, err := rpc.Dispense(provider.PluginName)
	conn, ok := raw.(*grpc.ClientConn)
	if err != nil || !ok {
		p.Stop()
		return nil, mail.Errorf(mail.KindInternal, "start plugin", "dispense: %w", err)
	}
	p.conn, p.Provider = conn, provider.NewClient(conn)
	return p, nil
}

// startError tells what an operator must mend from what may pass. go-plugin
// says the version in words alone.
func startError(err error) error {
	const op = "start plugin"
	var notFound *exec.Error
	switch text := err.Error(); {
	case strings.Contains(text, "incompatible API version"), strings.Contains(text, "incompatible core API version"):
		return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "protocol_version",
			Message: fmt.Sprintf("the plugin speaks another version of the protocol than this gateway (%d): %s", provider.ProtocolVersion, oneLine(text)), Err: err}
	case strings.Contains(text, "unsupported plugin protocol"):
		return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "protocol", Message: "the plugin does not speak gRPC", Err: err}
	case errors.As(err, &notFound), errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist), strings.Contains(text, "exec format error"):
		return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "not_executable", Message: oneLine(text), Err: err}
	default:
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: oneLine(text), Err: err}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Pid is the process's id.
func (p *Process) Pid() int { return p.proc.pid() }

// Done is closed once the process is gone.
func (p *Process) Done() <-chan struct{} { return p.proc.exited }

// Err says how the process ended, after Done.
func (p *Process) Err() error {
	return mail.Errorf(mail.KindUnavailable, "run plugin", "the plugin exited: %s", exitText(p.proc.err))
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// Ping asks gRPC's health service (go-plugin serves it in every plugin).
func (p *Process) Ping(ctx context.Context) error {
	resp, err := grpc_health_v1.NewHealthClient(p.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return mail.Errorf(mail.KindUnavailable, "check plugin", "%w", err)
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return mail.Errorf(mail.KindUnavailable, "check plugin", "the plugin says that it is not serving")
	}
	return nil
}

// Stop returns once the process is gone. It asks the plugin to end by closing
// its standard input, and kills it where that does not help; end its Session
// first, so that it can hand over what it holds.
func (p *Process) Stop() {
	if p.proc.pid() != 0 {
		// Closed before, or the process is gone: either way it has ended.
		_ = p.proc.lifeline.Close()
		select {
		case <-p.proc.exited:
		case <-time.After(exitGrace):
		}
		p.Kill()
	}
	p.client.Kill() // what is left: connection, goroutines, socket folder
}

// Kill ends the process at once; Stop must follow. go-plugin's own Kill would
// ask a hung process politely, for ever.
func (p *Process) Kill() {
	_ = p.proc.Kill(context.Background()) // fails where it is gone already
	<-p.proc.exited
}
