package provider

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// receive hands every message of a stream to f until the stream ends. An error
// of f ends the call and comes back as it is.
func receive[T any](ctx context.Context, verb Verb, stream interface{ Recv() (T, error) }, f func(T) error) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fromStatus(ctx, verb, err)
		}
		if err := ctx.Err(); err != nil { // what was on its way comes too late
			return fromStatus(ctx, verb, status.FromContextError(err).Err())
		}
		if err := f(m); err != nil {
			return err
		}
	}
}

func (c *client) Enumerate(ctx context.Context, req *EnumerateRequest, each func(*EnumerateBatch) error) error {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Enumerate(callCtx, enumerateToPB(req))
	if err != nil {
		return fromStatus(ctx, VerbEnumerate, err)
	}
	return receive(ctx, VerbEnumerate, stream, func(b *pb.EnumerateResponse) error { return each(enumeratedFromPB(b)) })
}

func (c *client) Changes(ctx context.Context, req *ChangesRequest, each func(*mail.Batch) error) error {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Changes(callCtx, changesToPB(req))
	if err != nil {
		return fromStatus(ctx, VerbChanges, err)
	}
	return receive(ctx, VerbChanges, stream, func(b *pb.ChangesResponse) error { return each(batchFromPB(b)) })
}

func (c *client) Listen(ctx context.Context, _ *ListenRequest, each func(*Hint) error) error {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Listen(callCtx, &pb.ListenRequest{})
	if err == nil {
		err = receive(ctx, VerbListen, stream, func(r *pb.ListenResponse) error {
			h := hintFromPB(r.GetHint())
			return each(&h)
		})
	} else {
		err = fromStatus(ctx, VerbListen, err)
	}
	if ctx.Err() != nil && mail.KindOf(err) == mail.KindUnavailable {
		return nil // ctx is how Listen ends
	}
	return err
}

func (c *client) Fetch(ctx context.Context, req *FetchRequest, sink FetchSink) error {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Fetch(callCtx, fetchToPB(req))
	if err != nil {
		return fromStatus(ctx, VerbFetch, err)
	}
	nextChunk := func() (*pb.RawChunk, error) {
		m, err := stream.Recv()
		if err == io.EOF {
			err = &mail.Error{Kind: mail.KindInternal, Op: VerbFetch.Words(), Message: "the plugin ended the call in the middle of a message"}
			return nil, err
		}
		if err != nil {
			return nil, fromStatus(ctx, VerbFetch, err)
		}
		if m.GetRaw() == nil {
			return nil, &mail.Error{Kind: mail.KindInternal, Op: VerbFetch.Words(), Message: "the plugin mixed two answers"}
		}
		return m.GetRaw(), nil
	}
	return receive(ctx, VerbFetch, stream, func(m *pb.FetchResponse) error {
		switch part := m.GetPart().(type) {
		case *pb.FetchResponse_Message:
			msg := messageFromPB(part.Message)
			return sink.Message(&msg)
		case *pb.FetchResponse_Failed:
			return sink.Failed(part.Failed.GetProviderId(), errorFromPB(part.Failed.GetError()))
		case *pb.FetchResponse_Raw:
			r := newRawReader(part.Raw, nextChunk)
			if err := sink.Raw(part.Raw.GetProviderId(), part.Raw.GetContentTag(), r); err != nil {
				return err
			}
			return r.drain()
		}
		return nil // a part of a later version
	})
}

// upload streams a header and a raw message and waits for the answer.
func upload[Req, Resp any](ctx context.Context, verb Verb, stream grpc.ClientStreamingClient[Req, Resp], header *Req, chunk func([]byte) *Req, raw io.Reader) (*Resp, error) {
	err := stream.Send(header)
	if err == nil {
		var failed bool
		failed, err = chunks(raw, func(piece []byte, _ bool) error {
			if len(piece) == 0 {
				return nil
			}
			return stream.Send(chunk(piece))
		})
		if failed {
			// Cancelling, by the caller, tells the plugin that this is no end.
			return nil, fmt.Errorf("%s: read message: %w", verb.Words(), err)
		}
	}
	if err != nil && err != io.EOF { // io.EOF: the answer is there already
		return nil, fromStatus(ctx, verb, err)
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return nil, fromStatus(ctx, verb, err)
	}
	return resp, nil
}

func (c *client) Append(ctx context.Context, req *AppendRequest, raw io.Reader) (*AppendResponse, error) {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Append(callCtx)
	if err != nil {
		return nil, fromStatus(ctx, VerbAppend, err)
	}
	resp, err := upload(ctx, VerbAppend, stream,
		&pb.AppendRequest{Part: &pb.AppendRequest_Header{Header: appendToPB(req)}},
		func(piece []byte) *pb.AppendRequest {
			return &pb.AppendRequest{Part: &pb.AppendRequest_Chunk{Chunk: piece}}
		}, raw)
	if err != nil {
		return nil, err
	}
	return &AppendResponse{Message: messageFromPB(resp.GetMessage())}, nil
}

func (c *client) Prepare(ctx context.Context, req *PrepareRequest, raw io.Reader) (*PrepareResponse, error) {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Prepare(callCtx)
	if err != nil {
		return nil, fromStatus(ctx, VerbPrepare, err)
	}
	resp, err := upload(ctx, VerbPrepare, stream,
		&pb.PrepareRequest{Part: &pb.PrepareRequest_Header{Header: prepareToPB(req)}},
		func(piece []byte) *pb.PrepareRequest {
			return &pb.PrepareRequest{Part: &pb.PrepareRequest_Chunk{Chunk: piece}}
		}, raw)
	if err != nil {
		return nil, err
	}
	return &PrepareResponse{Prepared: preparedFromPB(resp.GetPrepared())}, nil
}
