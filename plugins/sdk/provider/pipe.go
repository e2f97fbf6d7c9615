package provider

import (
	"context"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// Pipe gives p as a host sees it, across a gRPC connection in memory: same
// conversions, same streams, no process. It is for tests: what passes directly
// must pass through Pipe. Closing breaks the connection, which ends the
// session and all calls.
func Pipe(p Provider) (Provider, io.Closer, error) {
	lis := bufconn.Listen(1 << 20)
	s := newServer(p)
	g := s.newGRPC(nil)
	pb.RegisterProviderServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	opts := append(DialOptions(nil),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	conn, err := grpc.NewClient("passthrough:///pipe", opts...)
	if err != nil {
		g.Stop()
		<-served
		return nil, nil, fmt.Errorf("dial plugin: %w", err)
	}
	return NewClient(conn), &pipe{server: s, grpc: g, conn: conn, served: served}, nil
}

type pipe struct {
	server *server
	grpc   *grpc.Server
	conn   *grpc.ClientConn
	served chan error
}

func (p *pipe) Close() error {
	err := p.conn.Close()
	p.server.cancelCalls()
	p.grpc.Stop()
	if serveErr := <-p.served; err == nil {
		err = serveErr
	}
	return err
}
