package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// ProtocolVersion is the version of the contract, as go-plugin negotiates it:
// package postern.provider.v1 is version 1.
const ProtocolVersion = 1

// PluginName is the name under which go-plugin dispenses the provider.
const PluginName = "provider"

// What the host puts into a plugin's environment beside go-plugin's own
// variables.
const (
	// EnvLifeline with the value LifelineStdin says that standard input ends
	// when the host does.
	EnvLifeline   = "POSTERN_PLUGIN_LIFELINE"
	LifelineStdin = "stdin"
	// EnvLogLevel is what to log: debug, info, warn or error.
	EnvLogLevel = "POSTERN_PLUGIN_LOG_LEVEL"
)

// Handshake is what both ends must agree on before anything else. The cookie
// is no secret: it keeps people from starting a plugin by hand.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   "POSTERN_PLUGIN",
		MagicCookieValue: "postern.provider",
	}
}

// HostPlugins is what a host hands to go-plugin: dispensing PluginName gives
// the *grpc.ClientConn to the plugin, for NewClient.
func HostPlugins() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{ProtocolVersion: {PluginName: &grpcPlugin{}}}
}

// grpcPlugin joins go-plugin to the service; server is nil at the host's end.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

func (g *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if g.server == nil {
		return errors.New("this end is the host's")
	}
	pb.RegisterProviderServer(s, g.server)
	return nil
}

func (g *grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
