package provider

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// errHostGone is why calls end when the session does.
var errHostGone = errors.New("the host is gone")

// server is the plugin's end of the wire: the service over a Provider. It
// keeps one thing true: when the session ends, so do all calls.
type server struct {
	pb.UnimplementedProviderServer
	p Provider

	mu      sync.Mutex
	life    context.Context // ends with the session
	endLife context.CancelCauseFunc
	session bool // one is running

	began     chan struct{} // closed with the first session
	beganOnce sync.Once
	ended     chan struct{} // closed when a session has ended
	endedOnce sync.Once
	calls     sync.WaitGroup
}

func newServer(p Provider) *server {
	s := &server{p: p, began: make(chan struct{}), ended: make(chan struct{})}
	s.life, s.endLife = context.WithCancelCause(context.Background())
	return s
}

// newGRPC makes a gRPC server that serves s.
func (s *server) newGRPC(opts []grpc.ServerOption) *grpc.Server {
	opts = append(opts,
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.StatsHandler(serverStats()),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream))
	return grpc.NewServer(opts...)
}

// servicePrefix begins the full name of our methods; go-plugin serves others
// beside them.
var servicePrefix = "/" + pb.Provider_ServiceDesc.ServiceName + "/"

func (s *server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !strings.HasPrefix(info.FullMethod, servicePrefix) {
		return handler(ctx, req)
	}
	ctx, done := s.enter(ctx)
	defer done()
	resp, err := handler(ctx, req)
	return resp, toStatus(err)
}

func (s *server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if !strings.HasPrefix(info.FullMethod, servicePrefix) {
		return handler(srv, ss)
	}
	if info.FullMethod == pb.Provider_Session_FullMethodName {
		return toStatus(handler(srv, ss))
	}
	ctx, done := s.enter(ss.Context())
	defer done()
	return toStatus(handler(srv, &streamWithContext{ServerStream: ss, ctx: ctx}))
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWithContext) Context() context.Context { return s.ctx }

// enter begins a call, which ends with the session at the latest.
func (s *server) enter(ctx context.Context) (context.Context, func()) {
	s.mu.Lock()
	life := s.life
	s.calls.Add(1)
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(life, func() { cancel(errHostGone) })
	return ctx, func() {
		stop()
		cancel(nil)
		s.calls.Done()
	}
}

// cancelCalls ends every running call. Later ones get a new life.
func (s *server) cancelCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLife(errHostGone)
	s.life, s.endLife = context.WithCancelCause(context.Background())
}

// reply converts what a verb answered.
func reply[A, B any](resp *A, err error, convert func(*A) *B) (*B, error) {
	if err != nil {
		return nil, err
	}
	if resp == nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Message: "the plugin answered nothing"}
	}
	return convert(resp), nil
}

func (s *server) Describe(ctx context.Context, _ *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	info, err := s.p.Describe(ctx)
	return reply(info, err, infoToPB)
}

func (s *server) Configure(ctx context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	resp, err := s.p.Configure(ctx, configureFromPB(req))
	return reply(resp, err, func(r *ConfigureResponse) *pb.ConfigureResponse {
		return &pb.ConfigureResponse{Warnings: texts(r.Warnings)}
	})
}

func (s *server) Check(ctx context.Context, _ *pb.CheckRequest) (*pb.CheckResponse, error) {
	resp, err := s.p.Check(ctx, &CheckRequest{})
	return reply(resp, err, checkedToPB)
}

func (s *server) Open(ctx context.Context, req *pb.OpenRequest) (*pb.OpenResponse, error) {
	return &pb.OpenResponse{}, s.p.Open(ctx, openFromPB(req))
}

func (s *server) Close(ctx context.Context, req *pb.CloseRequest) (*pb.CloseResponse, error) {
	return &pb.CloseResponse{}, s.p.Close(ctx, &CloseRequest{Account: req.GetAccount()})
}

func (s *server) BeginConnect(ctx context.Context, req *pb.BeginConnectRequest) (*pb.BeginConnectResponse, error) {
	resp, err := s.p.BeginConnect(ctx, beginConnectFromPB(req))
	return reply(resp, err, beginConnectedToPB)
}

func (s *server) FinishConnect(ctx context.Context, req *pb.FinishConnectRequest) (*pb.FinishConnectResponse, error) {
	resp, err := s.p.FinishConnect(ctx, finishConnectFromPB(req))
	return reply(resp, err, finishConnectedToPB)
}

func (s *server) Revoke(ctx context.Context, req *pb.RevokeRequest) (*pb.RevokeResponse, error) {
	return &pb.RevokeResponse{}, s.p.Revoke(ctx, &RevokeRequest{Call: callFromPB(req.GetCall())})
}

func (s *server) Mailboxes(ctx context.Context, req *pb.MailboxesRequest) (*pb.MailboxesResponse, error) {
	resp, err := s.p.Mailboxes(ctx, &MailboxesRequest{Call: callFromPB(req.GetCall())})
	return reply(resp, err, mailboxesToPB)
}

func (s *server) CreateMailbox(ctx context.Context, req *pb.CreateMailboxRequest) (*pb.CreateMailboxResponse, error) {
	resp, err := s.p.CreateMailbox(ctx, createMailboxFromPB(req))
	return reply(resp, err, func(r *CreateMailboxResponse) *pb.CreateMailboxResponse {
		return &pb.CreateMailboxResponse{Mailbox: mailboxToPB(&r.Mailbox)}
	})
}

func (s *server) RenameMailbox(ctx context.Context, req *pb.RenameMailboxRequest) (*pb.RenameMailboxResponse, error) {
	resp, err := s.p.RenameMailbox(ctx, renameMailboxFromPB(req))
	return reply(resp, err, func(r *RenameMailboxResponse) *pb.RenameMailboxResponse {
		return &pb.RenameMailboxResponse{Mailbox: mailboxToPB(&r.Mailbox)}
	})
}

func (s *server) DeleteMailbox(ctx context.Context, req *pb.DeleteMailboxRequest) (*pb.DeleteMailboxResponse, error) {
	return &pb.DeleteMailboxResponse{}, s.p.DeleteMailbox(ctx, deleteMailboxFromPB(req))
}

func (s *server) Modify(ctx context.Context, req *pb.ModifyRequest) (*pb.ModifyResponse, error) {
	resp, err := s.p.Modify(ctx, modifyFromPB(req))
	return reply(resp, err, func(r *ModifyResponse) *pb.ModifyResponse {
		return &pb.ModifyResponse{Results: resultsToPB(r)}
	})
}

func (s *server) Copy(ctx context.Context, req *pb.CopyRequest) (*pb.CopyResponse, error) {
	resp, err := s.p.Copy(ctx, copyFromPB(req))
	return reply(resp, err, func(r *ModifyResponse) *pb.CopyResponse {
		return &pb.CopyResponse{Results: resultsToPB(r)}
	})
}

func (s *server) Delete(ctx context.Context, req *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	resp, err := s.p.Delete(ctx, &DeleteRequest{Call: callFromPB(req.GetCall()), IDs: list(req.GetIds())})
	return reply(resp, err, func(r *ModifyResponse) *pb.DeleteResponse {
		return &pb.DeleteResponse{Results: resultsToPB(r)}
	})
}

func (s *server) Purge(ctx context.Context, req *pb.PurgeRequest) (*pb.PurgeResponse, error) {
	resp, err := s.p.Purge(ctx, &DeleteRequest{Call: callFromPB(req.GetCall()), IDs: list(req.GetIds())})
	return reply(resp, err, func(r *ModifyResponse) *pb.PurgeResponse {
		return &pb.PurgeResponse{Results: resultsToPB(r)}
	})
}

func (s *server) Send(ctx context.Context, req *pb.SendRequest) (*pb.SendResponse, error) {
	resp, err := s.p.Send(ctx, sendFromPB(req))
	return reply(resp, err, func(r *SendResponse) *pb.SendResponse {
		return &pb.SendResponse{ProviderId: valid(r.ProviderID), MessageId: valid(r.MessageID)}
	})
}

func (s *server) Probe(ctx context.Context, req *pb.ProbeRequest) (*pb.ProbeResponse, error) {
	resp, err := s.p.Probe(ctx, probeFromPB(req))
	return reply(resp, err, func(r *ProbeResponse) *pb.ProbeResponse {
		return &pb.ProbeResponse{Outcome: string(r.Outcome), ProviderId: valid(r.ProviderID), MessageId: valid(r.MessageID)}
	})
}

func (s *server) Identities(ctx context.Context, req *pb.IdentitiesRequest) (*pb.IdentitiesResponse, error) {
	resp, err := s.p.Identities(ctx, &IdentitiesRequest{Call: callFromPB(req.GetCall())})
	return reply(resp, err, func(r *IdentitiesResponse) *pb.IdentitiesResponse {
		return &pb.IdentitiesResponse{Identities: each(r.Identities, byValue(identityToPB)), Partial: r.Partial}
	})
}

func (s *server) Search(ctx context.Context, req *pb.SearchRequest) (*pb.SearchResponse, error) {
	resp, err := s.p.Search(ctx, searchFromPB(req))
	return reply(resp, err, func(r *SearchResponse) *pb.SearchResponse {
		return &pb.SearchResponse{Ids: texts(r.IDs), NextPageToken: valid(r.NextPageToken)}
	})
}

func (s *server) Watch(ctx context.Context, req *pb.WatchRequest) (*pb.WatchResponse, error) {
	resp, err := s.p.Watch(ctx, watchFromPB(req))
	return reply(resp, err, watchedToPB)
}

func (s *server) Unwatch(ctx context.Context, req *pb.UnwatchRequest) (*pb.UnwatchResponse, error) {
	return &pb.UnwatchResponse{}, s.p.Unwatch(ctx, unwatchFromPB(req))
}

func (s *server) Notify(ctx context.Context, req *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	resp, err := s.p.Notify(ctx, notifyFromPB(req))
	return reply(resp, err, notifiedToPB)
}
