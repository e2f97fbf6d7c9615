package provider

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// How long the two ends wait for each other when a session ends.
const (
	// sessionGrace is what the plugin's Session gets to return in; with
	// exitGrace it stays under the second that a plugin has to be gone.
	sessionGrace = 300 * time.Millisecond
	// hostGrace is what the host gives the plugin to end the stream, and its
	// own handlers (a grant being stored) to finish.
	hostGrace = 3 * time.Second
	// hostWorkers is how many messages of a plugin the host handles at once;
	// more wait on the wire.
	hostWorkers = 64
)

// Session at the plugin's end: runs the provider's Session over the stream,
// and ends every call when it is over.
func (s *server) Session(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello() == nil {
		return &mail.Error{Kind: mail.KindInvalid, Op: VerbSession.Words(), Message: "the stream does not begin with hello"}
	}
	if !s.beginSession() {
		return &mail.Error{Kind: mail.KindConflict, Op: VerbSession.Words(), Code: "session_exists", Message: "a session is running already"}
	}
	defer s.endSession()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	host := &wireHost{stream: stream, waiting: map[uint64]chan error{}}
	if err := host.send(&pb.SessionResponse{Event: &pb.SessionResponse_Hello{Hello: &pb.PluginHello{}}}); err != nil {
		return err
	}
	go func() {
		defer cancel() // half-closed or broken: the host is gone
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if a := m.GetAnswer(); a != nil {
				host.answer(a.GetSeq(), errorFromPB(a.GetError()))
			}
		}
	}()
	returned := make(chan error, 1)
	go func() { returned <- s.p.Session(ctx, host) }()
	select {
	case err := <-returned:
		if err != nil {
			return err
		}
		<-ctx.Done() // a provider that initiates nothing may return; the lifeline stays
	case <-ctx.Done():
		s.cancelCalls()
		select {
		case <-returned:
		case <-time.After(sessionGrace):
		}
	}
	return nil
}

func (s *server) beginSession() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session {
		return false
	}
	s.session = true
	s.beganOnce.Do(func() { close(s.began) })
	return true
}

func (s *server) endSession() {
	s.cancelCalls()
	s.mu.Lock()
	s.session = false
	s.mu.Unlock()
	s.endedOnce.Do(func() { close(s.ended) })
}

// wireHost is the Host that a plugin sees: each call is a numbered message,
// and returns with the host's answer.
type wireHost struct {
	stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]
	sendMu sync.Mutex

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan error
}

func (h *wireHost) send(m *pb.SessionResponse) error {
	h.sendMu.Lock()
	defer h.sendMu.Unlock()
	return h.stream.Send(m)
}

func (h *wireHost) answer(seq uint64, err error) {
	h.mu.Lock()
	ch := h.waiting[seq]
	delete(h.waiting, seq)
	h.mu.Unlock()
	if ch != nil {
		ch <- err
	}
}

func (h *wireHost) ask(ctx context.Context, op string, m *pb.SessionResponse) error {
	ch := make(chan error, 1)
	h.mu.Lock()
	h.last++
	m.Seq = h.last
	h.waiting[m.Seq] = ch
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.waiting, m.Seq)
		h.mu.Unlock()
	}()
	if err := h.send(m); err != nil {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: errHostGone.Error(), Err: err}
	}
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		return &mail.Error{Kind: mail.KindOutcomeUnknown, Op: op, Message: ctx.Err().Error(), Err: ctx.Err()}
	case <-h.stream.Context().Done():
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: errHostGone.Error(), Err: errHostGone}
	}
}

func (h *wireHost) SaveGrant(ctx context.Context, account string, grant []byte) error {
	return h.ask(ctx, "save grant", &pb.SessionResponse{Event: &pb.SessionResponse_SaveGrant{
		SaveGrant: &pb.SaveGrant{Account: valid(account), Grant: grant},
	}})
}

func (h *wireHost) GrantRefused(ctx context.Context, account string, reason error) error {
	return h.ask(ctx, "tell of a refused grant", &pb.SessionResponse{Event: &pb.SessionResponse_GrantRefused{
		GrantRefused: grantRefusedToPB(account, reason),
	}})
}

func (h *wireHost) Hint(ctx context.Context, hint *Hint) error {
	return h.ask(ctx, "give a hint", &pb.SessionResponse{Event: &pb.SessionResponse_Hint{Hint: hintToPB(hint)}})
}

// Opened is told by NewClient's Session, to a Host that wants to know, when
// the plugin has taken up the session. Only the host's own end sees it.
type Opened interface {
	// SessionOpened is called once, before anything else of the session.
	SessionOpened()
}

// Session at the host's end: hands what the plugin says to host until ctx
// ends, and nil then; or until the connection breaks, and the error.
func (c *client) Session(ctx context.Context, host Host) error {
	// The stream outlives ctx by hostGrace: half-closing it lets the plugin
	// hand over a grant that it holds already.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stream, err := c.rpc.Session(streamCtx)
	if err != nil {
		return fromStatus(ctx, VerbSession, err)
	}
	peer := &pluginPeer{stream: stream, host: host, free: make(chan struct{}, hostWorkers)}
	if err := peer.send(&pb.SessionRequest{Event: &pb.SessionRequest_Hello{Hello: &pb.HostHello{}}}); err != nil {
		_, err = stream.Recv() // Send says io.EOF; the reason is here
		return brokenSession(fromStatus(ctx, VerbSession, err))
	}
	ended := make(chan error, 1)
	go func() {
		err := peer.receive(streamCtx)
		peer.workers.Wait()
		ended <- err
	}()
	select {
	case err := <-ended:
		return brokenSession(err)
	case <-ctx.Done():
	}
	peer.closeSend()
	select {
	case <-ended:
	case <-time.After(hostGrace):
		cancel()
		<-ended
	}
	return nil
}

// brokenSession says why a session ended that should not have.
func brokenSession(err error) error {
	e := &mail.Error{Kind: mail.KindUnavailable, Op: VerbSession.Words(), Message: "the plugin ended the session", Err: err}
	if err == nil {
		return e
	}
	if kind := mail.KindOf(err); kind != mail.KindOutcomeUnknown && kind != mail.KindInternal {
		return err // the plugin's own word
	}
	e.Message = "the session broke"
	return e
}

// pluginPeer is a plugin as the host's Session sees it.
type pluginPeer struct {
	stream  grpc.BidiStreamingClient[pb.SessionRequest, pb.SessionResponse]
	host    Host
	free    chan struct{}
	workers sync.WaitGroup

	sendMu sync.Mutex
	closed bool
}

func (p *pluginPeer) send(m *pb.SessionRequest) error {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	if p.closed {
		return errHostGone
	}
	return p.stream.Send(m)
}

func (p *pluginPeer) closeSend() {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	p.closed = true
	// An error means that the stream is broken, which receive sees too.
	_ = p.stream.CloseSend()
}

// receive handles what the plugin says until the stream ends; io.EOF is nil.
func (p *pluginPeer) receive(ctx context.Context) error {
	return receive(ctx, VerbSession, p.stream, func(m *pb.SessionResponse) error {
		if m.GetHello() != nil {
			if o, ok := p.host.(Opened); ok {
				o.SessionOpened()
			}
			return nil
		}
		select {
		case p.free <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.workers.Go(func() {
			defer func() { <-p.free }()
			answer := &pb.Answer{Seq: m.GetSeq(), Error: errorToPB(p.handle(ctx, m))}
			// Where the stream is gone, so is the one who asked.
			_ = p.send(&pb.SessionRequest{Event: &pb.SessionRequest_Answer{Answer: answer}})
		})
		return nil
	})
}

func (p *pluginPeer) handle(ctx context.Context, m *pb.SessionResponse) error {
	switch e := m.GetEvent().(type) {
	case *pb.SessionResponse_SaveGrant:
		return p.host.SaveGrant(ctx, e.SaveGrant.GetAccount(), octets(e.SaveGrant.GetGrant()))
	case *pb.SessionResponse_GrantRefused:
		return p.host.GrantRefused(ctx, e.GrantRefused.GetAccount(), errorFromPB(e.GrantRefused.GetError()))
	case *pb.SessionResponse_Hint:
		h := hintFromPB(e.Hint)
		return p.host.Hint(ctx, &h)
	}
	return &mail.Error{Kind: mail.KindInvalid, Op: VerbSession.Words(), Code: codeUnsupported, Message: "the host does not know this message"}
}
